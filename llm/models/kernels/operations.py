"""Kernels as functions of tensors: what a layer makes, and what it changes by, without autograd.

Importing this imports LLVM's loader. Tensors lie in one piece. Gradients of parameters go to where
`gradient_places.place_for` says; what autograd is given for them comes back.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from llm.models.gradient_places import place_for
from llm.models.kernels.calls import Kernel, address
from llm.models.kernels.choices import Drop

RMS_NORM, RMS_NORM_SLOPES = Kernel("norms.rms_norm"), Kernel("norms.rms_norm_slopes")
LAYER_NORM, LAYER_NORM_SLOPES = Kernel("norms.layer_norm"), Kernel("norms.layer_norm_slopes")
ACTIVATIONS = {name: Kernel(f"activations.{name}") for name in ("gelu", "gelu_tanh", "relu2")}
SWIGLU, TIMES = Kernel("activations.swiglu"), Kernel("activations.times")
TO_ROWS, TO_HEADS = Kernel("attention.to_rows"), Kernel("attention.to_heads")
PART_HEADS, JOIN_HEADS = Kernel("attention.part_heads"), Kernel("attention.join_heads")
DROP = Kernel("dropout.drop")
CROSS_ENTROPY = Kernel("cross_entropy.cross_entropy")
ADD, ADD_ROWS = Kernel("sums.add"), Kernel("sums.add_rows")

Given = Tensor | None  # what autograd is given for a parameter


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
    begin = address(statistics)
    if by.centred:
        LAYER_NORM(
            x.dtype, address(x), address(by.weight), address(by.bias), address(y), begin, begin + 4 * rows,
            rows, width, by.epsilon, by.bias is not None,
        )  # fmt: skip
    else:
        RMS_NORM(
            x.dtype, address(x), address(by.weight), address(y), begin, rows, width, by.epsilon
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
    before = address(base)
    if by.centred:
        LAYER_NORM_SLOPES(
            x.dtype, address(slope), address(x), address(by.weight), begin, begin + 4 * rows, before,
            address(grad_x), address(total), address(shift), rows, width, by.bias is not None,
            base is not None,
        )  # fmt: skip
    else:
        RMS_NORM_SLOPES(
            x.dtype, address(slope), address(x), address(by.weight), begin, before, address(grad_x),
            address(total), rows, width, base is not None,
        )  # fmt: skip
    return grad_x, made, shift_made


def activate(x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """An activation by name, and its slope."""
    y, slope = torch.empty_like(x), torch.empty_like(x)
    ACTIVATIONS[name](x.dtype, address(x), address(y), address(slope), x.numel())
    return y, slope


def swiglu(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(gate) * up, and its slopes by gate and by up."""
    y, gate_slope, up_slope = (torch.empty_like(gate) for _ in range(3))
    tensors = gate, up, y, gate_slope, up_slope
    SWIGLU(gate.dtype, *map(address, tensors), gate.numel())
    return y, gate_slope, up_slope


def times(slope: Tensor, gradient: Tensor) -> Tensor:
    """slope * gradient, element by element."""
    product = torch.empty_like(slope)
    TIMES(slope.dtype, address(slope), address(gradient), address(product), slope.numel())
    return product


def to_rows(x: Tensor, rows: Tensor, places: Tensor | None) -> None:
    """x (B, heads, T, D) goes to rows (n, heads * D): places (B, T) int64, below 0: to none.

    places: None when positions are rows in their order.
    """
    batch, heads, length, width = x.shape
    TO_ROWS(
        x.dtype, address(x), address(rows), address(places), batch, heads, length, width,
        places is not None,
    )  # fmt: skip


def to_heads(rows: Tensor, shape: torch.Size, places: Tensor | None) -> Tensor:
    """The way back of `to_rows`, to a tensor (B, heads, T, D); 0 where there is no row."""
    y = rows.new_empty(shape)
    TO_HEADS(rows.dtype, address(rows), address(y), address(places), *shape, places is not None)
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


def part_heads(
    packed: Tensor, heads: Heads, length: int, rotary: Tensor | None, places: Tensor | None = None
) -> Parted:
    """packed (rows, all heads * D) → scaled queries (B, H, T, D), keys, values (B, K, T, D), scales.

    length: T. places (B, T) int64: the row of each position, below 0: none; None: all rows in their
    order. rotary (2, period, D/2): angles of rows, see `rotary`.
    """
    count, kv_count, width, (query_norm, key_norm), epsilon = heads
    size = packed.numel() // (width * (count + 2 * kv_count)) if places is None else places.numel()
    batch = size // length
    queries = packed.new_empty((batch, count, length, width))
    keys = packed.new_empty((batch, kv_count, length, width))
    values = torch.empty_like(keys)
    scales = None
    if query_norm is not None:
        scales = packed.new_empty((batch, length, count + kv_count), dtype=torch.float32)
    row = packed.new_empty(width, dtype=torch.float32)
    PART_HEADS(
        packed.dtype, address(packed), address(queries), address(keys), address(values),
        address(rotary), address(query_norm), address(key_norm), address(scales), address(row),
        address(places), batch, length, _period(rotary), count, kv_count, width, width**-0.5, epsilon,
        rotary is not None, query_norm is not None, places is not None,
    )  # fmt: skip
    return queries, keys, values, scales


def _period(rotary: Tensor | None) -> int:
    """After how many rows angles begin again."""
    return 1 if rotary is None else rotary.shape[1]


def join_heads(
    joined: Tensor,
    slopes: tuple[Tensor, Tensor, Tensor],
    packed: Tensor | None,
    heads: Heads,
    rotary: Tensor | None,
    scales: Tensor | None,
    sums: tuple[Tensor | None, Tensor | None],
    places: Tensor | None = None,
) -> None:
    """From slopes of what `part_heads` made to those of packed, written to joined (its shape).

    packed: what was parted; None where heads have no norm. sums: what the norms' weights change by is
    added to them.
    """
    queries, keys, values = slopes
    count, kv_count, width, (query_norm, key_norm), _ = heads
    batch, _, length, _ = queries.shape
    query_sum, key_sum = sums
    row = queries.new_empty(width, dtype=torch.float32)
    JOIN_HEADS(
        joined.dtype, address(queries), address(keys), address(values), address(joined),
        address(packed), address(rotary), address(query_norm), address(key_norm), address(scales),
        address(query_sum), address(key_sum), address(row), address(places), batch, length,
        _period(rotary), count, kv_count, width, width**-0.5, rotary is not None,
        query_norm is not None, places is not None,
    )  # fmt: skip


def cross_entropy(
    products: Tensor,
    targets: Tensor,
    ignore: int,
    bias: Tensor | None,
    z_loss: float,
    factors: Tensor,
    bias_sum: Tensor | None,
) -> Tensor:
    """Logits (n, V) become their slopes but for a factor of each row, in place; the loss, float64.

    targets (n,): words, or `ignore`. factors (n, 1) float32 are written, and what the bias (V,) changes
    by is added to bias_sum. Raises IndexError for a target that is no word: the kernel would write to
    where it points.
    """
    targets = targets.long().contiguous()
    lowest, highest = targets.aminmax()
    if lowest < 0 or highest >= products.shape[1]:
        strange = (targets != ignore) & ((targets < 0) | (targets >= products.shape[1]))
        if strange.any():
            raise IndexError(
                f"target {int(targets[strange][0])} is no word of a vocabulary of {products.shape[1]}"
            )
    loss = products.new_zeros((), dtype=torch.float64)
    CROSS_ENTROPY(
        products.dtype, address(products), address(bias), address(targets), address(factors),
        address(bias_sum), address(loss), *products.shape, ignore, z_loss, bias is not None,
    )  # fmt: skip
    return loss


def add(total: Tensor, new: Tensor) -> None:
    """total += new: float32, and any type of the same shape."""
    ADD(new.dtype, address(total), address(new), new.numel())


def add_rows(total: Tensor, new: Tensor) -> None:
    """total += the sum of new's rows: float32 (width,), and any type (rows, width)."""
    ADD_ROWS(new.dtype, address(total), address(new), *new.shape)


def drop(x: Tensor, by: Drop, base: Tensor | None = None, places: Tensor | None = None) -> Tensor:
    """x with a share of its elements zeroed and the rest scaled up, added to base: rows (n, width).

    places (n,) int64: which rows of a larger matrix these are; choices are those of that matrix.
    """
    y, width = torch.empty_like(x), x.shape[-1]
    DROP(
        x.dtype, address(x), address(base), address(y), address(places), x.numel() // width, width,
        *by.numbers, by.scale, base is not None, places is not None,
    )  # fmt: skip
    return y
