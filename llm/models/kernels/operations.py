"""Kernels as functions of tensors: what a layer makes, and what it changes by, without autograd.

Importing this imports numba (half a second). Tensors lie in one piece. Gradients of parameters go to
where `gradients.place_for` says; what autograd is given for them comes back.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from llm.models.gradients import place_for
from llm.models.kernels import activations, attention, norms
from llm.models.kernels.calls import address, kind

Given = Tensor | None  # what autograd is given for a parameter


def _or_none(x: Tensor | None) -> int:
    return 0 if x is None else address(x)


class Norm(NamedTuple):
    """A norm's parameters; LayerNorm has means, RMSNorm none and no bias."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float
    centred: bool


def norm(x: Tensor, by: Norm) -> tuple[Tensor, Tensor]:
    """x (..., width) normalised, and its rows' statistics: (1 or 2, rows) float32."""
    width = x.shape[-1]
    rows = x.numel() // width
    y = torch.empty_like(x)
    statistics = x.new_empty((1 + by.centred, rows), dtype=torch.float32)
    begin, epsilon = address(statistics), np.float32(by.epsilon)
    if by.centred:
        norms.layer_norm(
            address(x), address(by.weight), _or_none(by.bias), address(y), begin, begin + 4 * rows,
            rows, width, epsilon, by.bias is not None, kind(x),
        )  # fmt: skip
    else:
        norms.rms_norm(
            address(x), address(by.weight), address(y), begin, rows, width, epsilon, kind(x)
        )
    return y, statistics


def norm_slopes(
    slope: Tensor, x: Tensor, by: Norm, statistics: Tensor, base: Tensor | None = None
) -> tuple[Tensor, Given, Given]:
    """What x changes by (plus base), and what autograd is given for weight and bias."""
    width = x.shape[-1]
    rows = x.numel() // width
    grad_x = torch.empty_like(x)
    begin = address(statistics)
    total, made = place_for(by.weight)
    shift, shift_made = (None, None) if by.bias is None else place_for(by.bias)
    before = _or_none(base)
    if by.centred:
        norms.layer_norm_slopes(
            address(slope), address(x), address(by.weight), begin, begin + 4 * rows, before,
            address(grad_x), address(total), _or_none(shift), rows, width, by.bias is not None,
            base is not None, kind(x),
        )  # fmt: skip
    else:
        norms.rms_norm_slopes(
            address(slope), address(x), address(by.weight), begin, before, address(grad_x),
            address(total), rows, width, base is not None, kind(x),
        )  # fmt: skip
    return grad_x, made, shift_made


def activate(x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """An activation by name, and its slope."""
    y, slope = torch.empty_like(x), torch.empty_like(x)
    sweep = getattr(activations, name)
    sweep(address(x), address(y), address(slope), x.numel(), kind(x))
    return y, slope


def swiglu(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(gate) * up, and its slopes by gate and by up."""
    y, gate_slope, up_slope = (torch.empty_like(gate) for _ in range(3))
    tensors = gate, up, y, gate_slope, up_slope
    activations.swiglu(*map(address, tensors), gate.numel(), kind(gate))
    return y, gate_slope, up_slope


def times(slope: Tensor, gradient: Tensor) -> Tensor:
    """slope * gradient, element by element."""
    product = torch.empty_like(slope)
    activations.times(
        address(slope), address(gradient), address(product), slope.numel(), kind(slope)
    )
    return product


def transpose(x: Tensor) -> Tensor:
    """x (B, i, j, D) → (B, j, i, D), in one piece."""
    batch, rows, columns, width = x.shape
    y = x.new_empty((batch, columns, rows, width))
    attention.transpose(address(x), address(y), batch, rows, columns, width, kind(x))
    return y


class Heads(NamedTuple):
    """How the heads of a product of queries, keys and values are made out of it.

    keys: as many as values. norms: the weights (D,) of queries' and keys' RMSNorm, or none.
    """

    queries: int
    keys: int
    width: int
    norms: tuple[Tensor | None, Tensor | None] = (None, None)
    epsilon: float = 0.0


Parted = tuple[Tensor, Tensor, Tensor, Tensor | None]


def part_heads(packed: Tensor, heads: Heads, length: int, rotary: Tensor | None) -> Parted:
    """packed (rows, all heads * D) → scaled queries (B, H, T, D), keys, values (B, K, T, D), scales.

    rotary (2, T, D/2): angles, see `rotary`.
    """
    count, kv_count, width, (query_norm, key_norm), epsilon = heads
    batch = packed.numel() // (length * width * (count + 2 * kv_count))
    queries = packed.new_empty((batch, count, length, width))
    keys = packed.new_empty((batch, kv_count, length, width))
    values = torch.empty_like(keys)
    scales = None
    if query_norm is not None:
        scales = packed.new_empty((batch, length, count + kv_count), dtype=torch.float32)
    attention.part_heads(
        address(packed), address(queries), address(keys), address(values), _or_none(rotary),
        _or_none(query_norm), _or_none(key_norm), _or_none(scales), batch, length, count, kv_count,
        width, np.float32(width**-0.5), np.float32(epsilon), rotary is not None,
        query_norm is not None, kind(packed),
    )  # fmt: skip
    return queries, keys, values, scales


def join_heads(
    slopes: tuple[Tensor, Tensor, Tensor],
    packed: Tensor | None,
    heads: Heads,
    rotary: Tensor | None,
    scales: Tensor | None,
) -> tuple[Tensor, Given, Given]:
    """From slopes of what `part_heads` made to those of packed, and what norms are given.

    packed: what was parted; None where heads have no norm.
    """
    queries, keys, values = slopes
    count, kv_count, width, (query_norm, key_norm), _ = heads
    batch, _, length, _ = queries.shape
    joined = queries.new_empty((batch * length, (count + 2 * kv_count) * width))
    query_sum, query_made = (None, None) if query_norm is None else place_for(query_norm)
    key_sum, key_made = (None, None) if key_norm is None else place_for(key_norm)
    attention.join_heads(
        address(queries), address(keys), address(values), address(joined), _or_none(packed),
        _or_none(rotary), _or_none(query_norm), _or_none(key_norm), _or_none(scales),
        _or_none(query_sum), _or_none(key_sum), batch, length, count, kv_count, width,
        np.float32(width**-0.5), rotary is not None, query_norm is not None, kind(joined),
    )  # fmt: skip
    return joined, query_made, key_made


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax in place: scores (N, rows, keys), mask (b, b) for the last b keys; see the kernel."""
    products, rows, keys = scores.shape
    attention.masked_softmax(
        address(scores), address(mask), products, rows, len(mask), keys, kind(scores)
    )
    return scores


def softmax_slopes(weights: Tensor, slopes: Tensor) -> Tensor:
    """From slopes of a softmax's weights (..., keys) to those of its scores, in place."""
    keys = slopes.shape[-1]
    attention.softmax_slopes(
        address(weights), address(slopes), slopes.numel() // keys, keys, kind(slopes)
    )
    return slopes
