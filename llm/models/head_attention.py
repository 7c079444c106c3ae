"""Attention for short rows on a CPU, from the product that holds queries, keys and values.

One sweep parts the heads, normalises queries and keys (RMSNorm, where a model has it), turns them by
their positions' angles (where it does), and scales the queries; one puts the slopes together again.
Texts that share a row are taken out of it, so that what they take is the square of their own lengths:
see `spans`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from llm.models.block_attention import attend_in_blocks, slopes_in_blocks
from llm.models.gradient_places import place_for
from llm.models.kernels import operations, softmax_operations
from llm.models.kernels.choices import Drop
from llm.models.kernels.operations import Given, Heads
from llm.models.spans import Spans

STRIDE = 1 << 16  # blocks of a group at most: each has choices of its own


class Softmax(NamedTuple):
    """Of the heads of one group, by kernels: see `block_attention.Softmax`."""

    lengths: Tensor | None
    drop: Drop | None

    def weights(self, scores: Tensor, block: int | None, number: int) -> tuple[Tensor, Tensor]:
        """Those that are dropped are negative for the way back."""
        drop = None if self.drop is None else self.drop.after(number)
        return scores, softmax_operations.masked_softmax(scores, block, self.lengths, drop)

    def weighing(self, weights: Tensor) -> Tensor:
        """Kept weights, scaled up."""
        return softmax_operations.kept_weights(weights, self.drop)

    def slopes(self, weights: Tensor, slopes: Tensor) -> Tensor:
        """In place."""
        return softmax_operations.softmax_slopes(weights, slopes, self.drop)


class Group(NamedTuple):
    """What the backward pass needs of texts of about the same length."""

    places: Tensor | None
    softmax: Softmax
    queries: Tensor
    keys: Tensor
    values: Tensor
    scales: Tensor | None
    weights: list[Tensor]


class Seen(NamedTuple):
    """What the backward pass needs of a forward pass."""

    shape: torch.Size
    packed: Tensor | None  # where the norms of heads need it again
    rotary: Tensor | None
    causal: bool
    whole: bool
    groups: list[Group]


def attend(
    packed: Tensor, heads: Heads, spans: Spans, rotary: Tensor | None, drop: Drop | None = None
) -> tuple[Tensor, Seen]:
    """softmax(Q K^T / sqrt(D)) V of each of the spans: packed (rows, all heads * D) → (rows, H * D).

    What stands in no span sees nothing: its answer is zeros. rotary (2, T, D/2): angles, see `rotary`.
    drop: the share of weights that is zeroed.
    """
    shape = len(packed), heads.queries * heads.width
    out = packed.new_empty(shape) if spans.whole else packed.new_zeros(shape)
    groups = []
    for number, (length, places, lengths) in enumerate(spans.groups):
        softmax = Softmax(lengths, None if drop is None else drop.after(number * STRIDE))
        queries, keys, values, scales = operations.part_heads(packed, heads, length, rotary, places)
        seen, weights = attend_in_blocks(queries, keys, values, softmax, spans.causal)
        operations.to_rows(seen, out, places)
        groups.append(Group(places, softmax, queries, keys, values, scales, weights))
    source = None if heads.norms[0] is None else packed
    return out, Seen(packed.shape, source, rotary, spans.causal, spans.whole, groups)


def attend_slopes(slope: Tensor, heads: Heads, seen: Seen) -> tuple[Tensor, Given, Given]:
    """What packed changes by, from slope (rows, H * D), and what autograd is given for the norms."""
    joined = slope.new_empty(seen.shape) if seen.whole else slope.new_zeros(seen.shape)
    (query_sum, query_made), (key_sum, key_made) = (
        (None, None) if one is None else place_for(one) for one in heads.norms
    )
    for group in seen.groups:
        below = operations.to_heads(slope, group.queries.shape, group.places)
        slopes = slopes_in_blocks(
            below,
            group.queries,
            group.keys,
            group.values,
            group.weights,
            group.softmax,
            seen.causal,
        )
        operations.join_heads(
            joined, slopes, seen.packed, heads, seen.rotary, group.scales, (query_sum, key_sum),
            group.places,
        )  # fmt: skip
    return joined, query_made, key_made
