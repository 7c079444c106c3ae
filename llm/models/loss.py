"""The head and its cross-entropy in one, a slice of rows at a time, so that logits never pile up.

With a vocabulary of 32,768 the logits of 4,096 tokens take half a gigabyte in float32, and their
gradients as much; a slice takes some megabytes and stays in the processor's cache. The backward
pass would need the logits again, so gradients are made while they are there: that is possible
because the result is a plain sum, whose gradient is the same constant for every row.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORE = -100  # a target that counts nothing
SLICE_ELEMENTS = 1 << 20  # logits in one slice (4 MiB in float32): what a processor's cache holds
CUDA_SLICE_ELEMENTS = 1 << 27  # on a GPU (512 MiB): what keeps it busy
SLICE_ROWS = 128  # at least: fewer, and adding up the weight's gradient costs more than it saves


def slices(rows: int, vocabulary: int, cuda: bool = False) -> Iterator[slice]:
    """Cut `rows` rows so that a slice of logits has about SLICE_ELEMENTS, or SLICE_ROWS rows."""
    elements = CUDA_SLICE_ELEMENTS if cuda else SLICE_ELEMENTS
    step = max(SLICE_ROWS, elements // vocabulary)
    return (slice(start, start + step) for start in range(0, rows, step))


def counted_rows(x: Tensor, targets: Tensor, ignore: int = IGNORE) -> tuple[Tensor, Tensor]:
    """The rows of x (N, d) and targets (N,) whose target is not `ignore`: the head's whole work."""
    counted = targets != ignore
    if counted.all():
        return x, targets
    index = counted.nonzero()[:, 0]
    return x.index_select(0, index), targets[index]


def head_logits(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, soft_cap: float | None = None
) -> Tensor:
    """x W^T + b in float32, soft-capped: x (n, d), weight (V, d), bias (V,) → (n, V).

    The product is in the type of x. soft_cap: logits s become cap * tanh(s / cap).
    """
    logits = (x @ weight.to(x.dtype).T).float()
    if bias is not None:
        logits = logits + bias
    return logits if soft_cap is None else soft_cap * torch.tanh(logits / soft_cap)


@torch.no_grad()
def token_losses(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    ignore: int = IGNORE,
    bias: Tensor | None = None,
    soft_cap: float | None = None,
) -> Tensor:
    """-ln softmax(head_logits)[target] of every row, without gradients.

    x (N, d), weight (V, d), targets (N,) → (N,) float32 in nats; 0 where the target is `ignore`.
    """
    low = weight.to(x.dtype)
    losses = x.new_zeros(len(x), dtype=torch.float32)
    for rows in slices(len(x), len(weight), x.is_cuda):
        counted = targets[rows] != ignore
        shares = torch.log_softmax(head_logits(x[rows], low, bias, soft_cap), dim=-1)
        picked = shares.gather(1, targets[rows].where(counted, 0)[:, None])
        losses[rows] = -picked[:, 0] * counted
    return losses


def summed_loss(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    ignore: int = IGNORE,
    bias: Tensor | None = None,
    soft_cap: float | None = None,
    z_loss: float = 0.0,
) -> Tensor:
    """The sum of `token_losses`, a float32 scalar, with gradients for x, weight and bias.

    z_loss: gradients are those of the sum of -ln p + z_loss * (ln Z)^2, where Z is the sum that the
    softmax divides by (PaLM, arXiv 2204.02311, section 5). The value leaves the second part out, so
    that losses can be compared whatever it is.
    """
    learned = any(part is not None and part.requires_grad for part in (x, weight, bias))
    if torch.is_grad_enabled() and learned:
        return _SummedLoss.apply(x, weight, bias, targets, ignore, soft_cap, z_loss)
    return token_losses(x, weight, targets, ignore, bias, soft_cap).sum()


class _SummedLoss(torch.autograd.Function):
    """With l the logits, p their softmax, Z its divisor and z the z-loss: d loss / d l = p - one-hot,
    and d z (ln Z)^2 / d l = 2 z ln Z p. A soft-cap's slope, 1 - (l / cap)^2, is multiplied on.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        ignore: int,
        soft_cap: float | None,
        z_loss: float,
    ) -> Tensor:
        low = weight.to(x.dtype)
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight)  # float32 whatever x is: slices add up in it
        grad_bias = None if bias is None else torch.zeros_like(bias)
        total = x.new_zeros((), dtype=torch.float32)
        for rows in slices(len(x), len(weight), x.is_cuda):
            counted = (targets[rows] != ignore)[:, None]
            wanted = targets[rows][:, None].where(counted, 0)
            logits = head_logits(x[rows], low, bias, soft_cap)  # (n, V)
            cap_slope = None if soft_cap is None else 1 - (logits / soft_cap).square()
            picked = logits.gather(1, wanted)
            peak = logits.amax(1, keepdim=True)
            shares = logits.sub_(peak).exp_()
            sums = shares.sum(1, keepdim=True)
            log_z = sums.log() + peak
            total += ((log_z - picked) * counted).sum()
            # d loss / d logits = shares / sums - one-hot, and nothing for rows that do not count.
            # The division is left to the smaller matrices: three sweeps over the logits less.
            if z_loss:
                shares = shares.mul_(1 + 2 * z_loss * log_z)
            slope = shares.scatter_add_(1, wanted, -sums)
            if cap_slope is not None:
                slope = slope.mul_(cap_slope)
            if grad_bias is not None:
                grad_bias += (slope * (counted / sums)).sum(0)
            slope = slope.to(x.dtype)
            factor = (counted / sums).to(x.dtype)
            grad_x[rows] = (slope @ low).mul_(factor)
            scaled = x[rows] * factor
            if x.dtype == weight.dtype:
                grad_weight.addmm_(slope.T, scaled)
            else:
                grad_weight += slope.T @ scaled
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        grad_bias = None if grad_bias is None else grad_bias * upstream
        grad_x = grad_x * upstream.to(grad_x.dtype)
        return grad_x, grad_weight * upstream, grad_bias, None, None, None, None
