"""Causal attention for short rows on a CPU: plain matrix products on the blocks that count.

Queries are taken BLOCK at a time against the keys up to the block's end, so that of the T x T
scores little more than the lower half is made, and each product is small enough for the processor's
cache. Example, T = 256 and BLOCK = 64: 64 x 64, 64 x 128, 64 x 192 and 64 x 256 scores, 62 % of all.

Weights are kept for the backward pass, which at these lengths beats making them again, as
flash attention does: 1.1 to 1.5 times as fast as PyTorch's for T = 256. Longer rows are its.

Shapes below: K key and value heads, N = B * K independent products, G = H / K query heads in each,
b = BLOCK.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

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
        out, weights = attend_in_blocks(q, k, v, _softmax)
        ctx.save_for_backward(q, k, v, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, *weights = ctx.saved_tensors
        slopes = slopes_in_blocks(slope.contiguous(), q, k, v, weights, _softmax_slopes)
        grad_q, grad_k, grad_v = slopes
        return grad_q.mul_(q.shape[-1] ** -0.5), grad_k, grad_v  # k's has the scale from q


def attend_in_blocks(
    q: Tensor, k: Tensor, v: Tensor, softmax: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """What scaled queries see, (B, H, T, D), and the softmax's weights, block after block.

    q (B, H, T, D), k and v (B, K, T, D), each in one piece. softmax(scores, mask): of scores (N, G*b,
    stop), to whose last b keys' the mask (b, b) is added.
    """
    _, heads, length, width = q.shape
    groups = heads // k.shape[1]
    rows, k, v = q.view(-1, groups, length, width), k.flatten(0, 1), v.flatten(0, 1)
    size = _block_size(q)
    if length <= size:
        weight = softmax(torch.bmm(rows.flatten(1, 2), k.transpose(1, 2)), _mask(length))
        return torch.bmm(weight, v).view(q.shape), [weight]
    out, weights = torch.empty_like(rows), []
    for span in _blocks(length, size):
        seen = slice(0, span.stop)
        scores = torch.bmm(_rows(rows, span), k[:, seen].transpose(1, 2))
        weight = softmax(scores, _mask(_size(span)))  # (N, G*b, stop)
        new = torch.bmm(weight, v[:, seen])  # (N, G*b, D)
        out[:, :, span] = new.view(-1, groups, _size(span), width)
        weights.append(weight)
    return out.view(q.shape), weights


def slopes_in_blocks(
    slope: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weights: Sequence[Tensor],
    softmax_slopes: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """What the loss changes by with scaled queries, keys and values, from slope (B, H, T, D).

    softmax_slopes(weights, slopes): from d loss / d weights to d loss / d scores, may be in place.
    """
    shape, size = q.shape, _block_size(q)
    groups, length, width = shape[1] // k.shape[1], *shape[2:]
    q, slope = q.view(-1, groups, length, width), slope.view(-1, groups, length, width)
    grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    k, v, key_slope, value_slope = (x.flatten(0, 1) for x in (k, v, grad_k, grad_v))
    # The last block comes first: it sees all keys, so its products are where the sums begin.
    for span, weight in zip(reversed(_blocks(length, size)), reversed(weights), strict=True):
        seen = slice(0, span.stop)
        below = _rows(slope, span)  # (N, G*b, D)
        scores = softmax_slopes(weight, torch.bmm(below, v[:, seen].transpose(1, 2)))
        if length <= size:
            torch.bmm(scores, k, out=grad_q.view(len(k), -1, width))
        else:
            new = torch.bmm(scores, k[:, seen])
            grad_q[:, :, span] = new.view(-1, groups, _size(span), width)
        if span.stop == length:
            torch.bmm(weight.transpose(1, 2), below, out=value_slope)
            torch.bmm(scores.transpose(1, 2), _rows(q, span), out=key_slope)
        else:
            value_slope[:, seen] += torch.bmm(weight.transpose(1, 2), below)
            key_slope[:, seen] += torch.bmm(scores.transpose(1, 2), _rows(q, span))
    return grad_q.view(shape), grad_k, grad_v


def _softmax(scores: Tensor, mask: Tensor) -> Tensor:
    block = len(mask)
    scores[:, :, -block:].unflatten(1, (-1, block)).add_(mask)
    return torch.softmax(scores, dim=-1)


def _softmax_slopes(weights: Tensor, slopes: Tensor) -> Tensor:
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
