"""Attention for short rows on a CPU, from the product that holds queries, keys and values.

One sweep parts the heads, normalises queries and keys (RMSNorm, where a model has it), turns them by
their positions' angles (where it does), and scales the queries; one puts the slopes together again.
Texts that share a row are taken out of it, so that what they take is the square of their own lengths:
see `spans`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from llm.models.block_attention import attend_in_blocks, slopes_in_blocks
from llm.models.gradient_places import place_for
from llm.models.kernels import operations, softmax_operations
from llm.models.kernels.choices import Drop
from llm.models.kernels.operations import Given, Heads
from llm.models.spans import Spans

STRIDE = 1 << 16  # blocks of a piece at most: each has choices of its own
PIECE = (
    1 << 19
)  # bytes of weights that are worked on at once, or one span: they stay in a core's cache


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


class Piece(NamedTuple):
    """Some spans of one length. rows: where all of them lie; places (n, L): in those, None: in order."""

    rows: slice
    length: int
    places: Tensor | None
    lengths: Tensor | None


class Group(NamedTuple):
    """What the backward pass needs of a piece."""

    piece: Piece
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
    for number, piece in enumerate(_pieces(spans, heads.queries * packed.element_size())):
        rows, length, places, lengths = piece
        softmax = Softmax(lengths, None if drop is None else drop.after(number * STRIDE))
        given = operations.part_heads(packed[rows], heads, length, rotary, places)
        queries, keys, values, scales = given
        seen, weights = attend_in_blocks(queries, keys, values, softmax, spans.causal)
        operations.to_rows(seen, out[rows], places)
        groups.append(Group(piece, softmax, queries, keys, values, scales, weights))
    source = None if heads.norms[0] is None else packed
    return out, Seen(packed.shape, source, rotary, spans.causal, spans.whole, groups)


def attend_slopes(slope: Tensor, heads: Heads, seen: Seen) -> tuple[Tensor, Given, Given]:
    """What packed changes by, from slope (rows, H * D), and what autograd is given for the norms."""
    joined = slope.new_empty(seen.shape) if seen.whole else slope.new_zeros(seen.shape)
    (query_sum, query_made), (key_sum, key_made) = (
        (None, None) if one is None else place_for(one) for one in heads.norms
    )
    while seen.groups:
        group = seen.groups.pop()
        rows, _, places, _ = group.piece
        below = operations.to_heads(slope[rows], group.queries.shape, places)
        slopes = slopes_in_blocks(
            below,
            group.queries,
            group.keys,
            group.values,
            group.weights,
            group.softmax,
            seen.causal,
        )
        source = None if seen.packed is None else seen.packed[rows]
        operations.join_heads(
            joined[rows], slopes, source, heads, seen.rotary, group.scales, (query_sum, key_sum), places
        )  # fmt: skip
    return joined, query_made, key_made


def _pieces(spans: Spans, weight: int) -> Iterator[Piece]:
    """The spans, some at a time. weight: bytes of a position's weight of another, in all heads."""
    for length, places, lengths in spans.groups:
        total = spans.rows // length if places is None else len(places)
        count = max(1, PIECE // (weight * length * length))
        if spans.causal:  # whose blocks are small as they are
            count = total
        for start in range(0, total, count):
            some = slice(start, min(start + count, total))
            if places is None:
                yield Piece(slice(some.start * length, some.stop * length), length, None, None)
            else:
                yield Piece(
                    slice(None), length, places[some], None if lengths is None else lengths[some]
                )
