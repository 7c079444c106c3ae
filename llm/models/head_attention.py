"""Causal attention for short rows on a CPU, from the product that holds queries, keys and values.

One sweep parts the heads, normalises queries and keys (RMSNorm, where a model has it), turns them by
their positions' angles (where it does), and scales the queries; one puts the slopes together again.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llm.models.block_attention import attend_in_blocks, slopes_in_blocks
from llm.models.gradients import place_for


class Heads(NamedTuple):
    """How many heads a row of the product has: of queries, and of keys, which are as many as values."""

    queries: int
    keys: int

    @property
    def all(self) -> int:
        """Heads side by side."""
        return self.queries + 2 * self.keys


def head_attention(
    packed: Tensor,
    heads: Heads,
    rotary: Tensor | None = None,
    norms: tuple[Tensor | None, Tensor | None] = (None, None),
    epsilon: float = 0.0,
) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V with a causal mask, for packed (B, T, heads.all * D): (B, T, H * D).

    rotary (2, T, D/2): angles, see `rotary`. norms: the weights (D,) of queries' and keys' RMSNorm.
    """
    out: Tensor = _HeadAttention.apply(packed, heads, rotary, *norms, epsilon)
    return out


class _Part(NamedTuple):
    """Some heads of the product: where they begin, how many, their factor and norm, if any."""

    before: int
    heads: int
    factor: float
    turned: bool
    norm: Tensor | None


class _HeadAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        packed: Tensor,
        heads: Heads,
        rotary: Tensor | None,
        query_norm: Tensor | None,
        key_norm: Tensor | None,
        epsilon: float,
    ) -> Tensor:
        batch, length, width = packed.shape
        packed = packed.contiguous().view(batch, length, heads.all, width // heads.all)
        rotary = None if rotary is None else rotary.contiguous()
        turned, keys = rotary is not None, heads.keys
        parts = (
            _Part(0, heads.queries, packed.shape[-1] ** -0.5, turned, query_norm),
            _Part(heads.queries, keys, 1.0, turned, key_norm),
            _Part(heads.queries + keys, keys, 1.0, False, None),
        )
        scales = [None if part.norm is None else _scales(packed, part) for part in parts]
        q, k, v = (
            _parted(packed, part, rotary, scale, epsilon)
            for part, scale in zip(parts, scales, strict=True)
        )
        out, weights = attend_in_blocks(q, k, v, fused=True)
        ctx.save_for_backward(packed if query_norm is not None else None, q, k, v, rotary, *weights)
        ctx.parts, ctx.scales, ctx.heads = parts, scales, heads
        return out.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        source, q, k, v, rotary, *weights = ctx.saved_tensors
        batch, heads, length, width = q.shape
        slope = slope.contiguous().view(batch, length, heads, width)
        below = _parted(slope, _Part(0, heads, 1.0, False, None), None, None, 0.0)
        slopes = slopes_in_blocks(below, q, k, v, weights, fused=True)
        packed = q.new_empty(batch, length, ctx.heads.all, width)
        made = [
            _join(part_slope, packed, source, part, rotary, scale)
            for part_slope, part, scale in zip(slopes, ctx.parts, ctx.scales, strict=True)
        ]
        return packed.flatten(2), None, None, made[0], made[1], None


def _scales(packed: Tensor, part: _Part) -> Tensor:
    return packed.new_empty(*packed.shape[:2], part.heads, dtype=torch.float32)


def _parted(
    packed: Tensor, part: _Part, rotary: Tensor | None, scales: Tensor | None, epsilon: float
) -> Tensor:
    """A part's heads of packed (B, T, heads, D), as (B, part.heads, T, D)."""
    from llm.models.kernels.attention import part_heads
    from llm.models.kernels.calls import address, kind

    batch, length, all_heads, width = packed.shape
    parted = packed.new_empty(batch, part.heads, length, width)
    part_heads(
        address(packed), address(parted), _or_none(rotary), _or_none(part.norm), _or_none(scales),
        batch, length, part.before, part.heads, all_heads, width, np.float32(part.factor),
        np.float32(epsilon), part.turned, part.norm is not None, kind(packed),
    )  # fmt: skip
    return parted


def _join(
    slope: Tensor,
    packed: Tensor,
    source: Tensor | None,
    part: _Part,
    rotary: Tensor | None,
    scales: Tensor | None,
) -> Tensor | None:
    """Write a part's slopes (B, part.heads, T, D) to packed; what autograd is given for its norm."""
    from llm.models.kernels.attention import join_slopes
    from llm.models.kernels.calls import address, kind

    batch, length, all_heads, width = packed.shape
    total, made = (None, None) if part.norm is None else place_for(part.norm)
    join_slopes(
        address(slope), address(packed), _or_none(source), _or_none(rotary), _or_none(part.norm),
        _or_none(scales), _or_none(total), batch, length, part.before, part.heads, all_heads,
        width, np.float32(part.factor), part.turned, part.norm is not None, kind(packed),
    )  # fmt: skip
    return made


def _or_none(x: Tensor | None) -> int:
    from llm.models.kernels.calls import address

    return 0 if x is None else address(x)
