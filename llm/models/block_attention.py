"""Attention for short rows on a CPU: plain matrix products on the blocks that count.

Where it is causal, queries are taken BLOCK at a time against the keys up to the block's end, so that of the T x T
scores little more than the lower half is made, and each product is small enough for the processor's
cache. Example, T = 256 and BLOCK = 64: 64 x 64, 64 x 128, 64 x 192 and 64 x 256 scores, 62 % of all.

Weights are kept for the backward pass, which at these lengths beats making them again, as
flash attention does: 1.1 to 1.5 times as fast as PyTorch's for T = 256. Longer rows are its.

Shapes below: K key and value heads, N = B * K independent products, G = H / K query heads in each,
b = BLOCK.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llm.models.processor import has_amx

BLOCK = 64
AMX_BLOCK = 256  # where products take so little time that small ones are not worth their start
LONGEST = 512  # tokens; beyond, memory for the weights grows too much and flash attention wins


def block_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V with a causal mask.

    queries (B, H, T, D), keys and values (B, K, T, D) with K a divisor of H → (B, H, T, D).
    """
    out: Tensor = _BlockAttention.apply(queries, keys, values)
    return out


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        # Queries have to be copied so that heads lie apart: here the scale costs nothing.
        q = torch.mul(queries, queries.shape[-1] ** -0.5, out=queries.new_empty(queries.shape))
        k, v = keys.contiguous(), values.contiguous()
        out, weights = attend_in_blocks(q, k, v, _Softmax())
        ctx.save_for_backward(q, k, v, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, *weights = ctx.saved_tensors
        slopes = slopes_in_blocks(slope.contiguous(), q, k, v, weights, _Softmax())
        grad_q, grad_k, grad_v = slopes
        return grad_q.mul_(q.shape[-1] ** -0.5), grad_k, grad_v  # k's has the scale from q


class Softmax(Protocol):
    """What stands between the two products of attention, of the block of a number."""

    def weights(self, scores: Tensor, block: int | None, number: int) -> tuple[Tensor, Tensor]:
        """Of scores (N, G*b, stop): what the way back is given, and what values are weighed by.

        block: b, where each of the queries sees those of the last b keys up to its own; None: all.
        """
        ...

    def weighing(self, weights: Tensor) -> Tensor:
        """What values were weighed by, from what the way back is given."""
        ...

    def slopes(self, weights: Tensor, slopes: Tensor) -> Tensor:
        """From d loss / d what values were weighed by to d loss / d scores, may be in place."""
        ...


def attend_in_blocks(
    q: Tensor, k: Tensor, v: Tensor, softmax: Softmax, causal: bool = True
) -> tuple[Tensor, list[Tensor]]:
    """What scaled queries see, (B, H, T, D), and the softmax's weights, block after block.

    q (B, H, T, D), k and v (B, K, S, D), each in one piece; S is T where causal.
    """
    _, heads, length, width = q.shape
    groups = heads // k.shape[1]
    rows, k, v = q.view(-1, groups, length, width), k.flatten(0, 1), v.flatten(0, 1)
    size = _block_size(q)
    if length <= size or not causal:
        scores = torch.bmm(rows.flatten(1, 2), k.transpose(1, 2))
        weight, weighing = softmax.weights(scores, length if causal else None, 0)
        return torch.bmm(weighing, v).view(q.shape), [weight]
    out, weights = torch.empty_like(rows), []
    for number, span in enumerate(_blocks(length, size)):
        seen = slice(0, span.stop)
        scores = torch.bmm(_rows(rows, span), k[:, seen].transpose(1, 2))
        weight, weighing = softmax.weights(scores, _size(span), number)  # (N, G*b, stop)
        new = torch.bmm(weighing, v[:, seen])  # (N, G*b, D)
        out[:, :, span] = new.view(-1, groups, _size(span), width)
        weights.append(weight)
    return out.view(q.shape), weights


def slopes_in_blocks(
    slope: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Sequence[Tensor],
    softmax: Softmax,
    causal: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the loss changes by with scaled queries, keys and values, from slope (B, H, T, D)."""
    shape, size = q.shape, _block_size(q) if causal else q.shape[2]
    groups, length, width = shape[1] // k.shape[1], *shape[2:]
    q, slope = q.view(-1, groups, length, width), slope.view(-1, groups, length, width)
    grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    k, v, key_slope, value_slope = (x.flatten(0, 1) for x in (k, v, grad_k, grad_v))
    # The last block comes first: it sees all keys, so its products are where the sums begin.
    for span, weight in zip(reversed(_blocks(length, size)), reversed(weights), strict=True):
        seen = slice(0, span.stop if causal else k.shape[1])
        below = _rows(slope, span)  # (N, G*b, D)
        weighing = softmax.weighing(weight)
        scores = softmax.slopes(weight, torch.bmm(below, v[:, seen].transpose(1, 2)))
        if length <= size:
            torch.bmm(scores, k, out=grad_q.view(len(k), -1, width))
        else:
            new = torch.bmm(scores, k[:, seen])
            grad_q[:, :, span] = new.view(-1, groups, _size(span), width)
        if span.stop == length:
            torch.bmm(weighing.transpose(1, 2), below, out=value_slope)
            torch.bmm(scores.transpose(1, 2), _rows(q, span), out=key_slope)
        else:
            value_slope[:, seen] += torch.bmm(weighing.transpose(1, 2), below)
            key_slope[:, seen] += torch.bmm(scores.transpose(1, 2), _rows(q, span))
    return grad_q.view(shape), grad_k, grad_v


class _Softmax:
    """By PyTorch's operations."""

    def weights(self, scores: Tensor, block: int | None, number: int) -> tuple[Tensor, Tensor]:
        if block is not None:
            scores[:, :, -block:].unflatten(1, (-1, block)).add_(_mask(block))
        made = torch.softmax(scores, dim=-1)
        return made, made

    def weighing(self, weights: Tensor) -> Tensor:
        return weights

    def slopes(self, weights: Tensor, slopes: Tensor) -> Tensor:
        shift = (weights * slopes).sum(-1, keepdim=True)
        return slopes.sub_(shift).mul_(weights)


def _block_size(x: Tensor) -> int:
    return AMX_BLOCK if x.dtype == torch.bfloat16 and has_amx() else BLOCK


def _blocks(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _size(span: slice) -> int:
    return int(span.stop - span.start)


def _rows(x: Tensor, span: slice) -> Tensor:
    """x (N, G, T, E) → its block of rows for all heads of a group, (N, G*b, E)."""
    return x[:, :, span].reshape(len(x), -1, x.shape[-1])


@cache
def _mask(block: int) -> Tensor:
    """0 where a query of a block sees a key of the same block, -inf where the key comes later, (b, b)."""
    return torch.full((block, block), -torch.inf, dtype=torch.float32, device="cpu").triu(1)
