"""Causal attention for short rows on a CPU, from the product that holds queries, keys and values.

One sweep parts the heads, normalises queries and keys (RMSNorm, where a model has it), turns them by
their positions' angles (where it does), and scales the queries; one puts the slopes together again.
"""

from typing import NamedTuple

from torch import Tensor

from llm.models.block_attention import attend_in_blocks, slopes_in_blocks
from llm.models.kernels import operations
from llm.models.kernels.operations import Given, Heads


class Seen(NamedTuple):
    """What the backward pass needs of a forward pass."""

    packed: Tensor | None  # where the norms of heads need it again
    rotary: Tensor | None
    queries: Tensor
    keys: Tensor
    values: Tensor
    scales: Tensor | None
    weights: list[Tensor]


def attend(packed: Tensor, heads: Heads, length: int, rotary: Tensor | None) -> tuple[Tensor, Seen]:
    """softmax(Q K^T / sqrt(D)) V with a causal mask: packed (rows, all heads * D) → (rows, H * D).

    rows: B * T of them, in one piece. length: T. rotary (2, T, D/2): angles, see `rotary`.
    """
    queries, keys, values, scales = operations.part_heads(packed, heads, length, rotary)
    out, weights = attend_in_blocks(queries, keys, values, operations.masked_softmax)
    source = None if heads.norms[0] is None else packed
    seen = Seen(source, rotary, queries, keys, values, scales, weights)
    return operations.transpose(out).view(len(packed), -1), seen


def attend_slopes(slope: Tensor, heads: Heads, seen: Seen) -> tuple[Tensor, Given, Given]:
    """What packed changes by, from slope (rows, H * D), and what autograd is given for the norms."""
    batch, count, length, width = seen.queries.shape
    below = operations.transpose(slope.view(batch, length, count, width))
    slopes = slopes_in_blocks(
        below, seen.queries, seen.keys, seen.values, seen.weights, operations.softmax_slopes
    )
    return operations.join_heads(slopes, seen.packed, heads, seen.rotary, seen.scales)
