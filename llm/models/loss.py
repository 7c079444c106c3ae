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

SLICE_ELEMENTS = 1 << 20  # logits in one slice (4 MiB in float32): what a processor's cache holds
CUDA_SLICE_ELEMENTS = 1 << 27  # on a GPU (512 MiB): what keeps it busy
SLICE_ROWS = 128  # at least: fewer, and adding up the weight's gradient costs more than it saves


def slices(rows: int, vocabulary: int, cuda: bool = False) -> Iterator[slice]:
    """Cut `rows` rows so that a slice of logits has about SLICE_ELEMENTS, or SLICE_ROWS rows."""
    elements = CUDA_SLICE_ELEMENTS if cuda else SLICE_ELEMENTS
    step = max(SLICE_ROWS, elements // vocabulary)
    return (slice(start, start + step) for start in range(0, rows, step))


def log_probabilities(x: Tensor, weight: Tensor) -> Tensor:
    """log softmax(x W^T) in float32, (n, V): products in the type of x, the sum in float32."""
    return torch.log_softmax((x @ weight.T).float(), dim=-1)


@torch.no_grad()
def token_losses(x: Tensor, weight: Tensor, targets: Tensor, ignore: int = -100) -> Tensor:
    """-ln softmax(x W^T)[target] of every row, without gradients.

    x (N, d), weight (V, d), targets (N,) → (N,) float32 in nats; 0 where the target is `ignore`.
    """
    low = weight.to(x.dtype)
    losses = x.new_zeros(len(x), dtype=torch.float32)
    for rows in slices(len(x), len(weight), x.is_cuda):
        counted = targets[rows] != ignore
        picked = log_probabilities(x[rows], low).gather(1, targets[rows].where(counted, 0)[:, None])
        losses[rows] = -picked[:, 0] * counted
    return losses


def summed_loss(x: Tensor, weight: Tensor, targets: Tensor, ignore: int = -100) -> Tensor:
    """The sum of `token_losses`, a float32 scalar, with gradients for x and weight."""
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _SummedLoss.apply(x, weight, targets, ignore)
    return token_losses(x, weight, targets, ignore).sum()


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, ignore: int) -> Tensor:
        low = weight.to(x.dtype)
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight)  # float32 whatever x is: slices add up in it
        total = x.new_zeros((), dtype=torch.float32)
        for rows in slices(len(x), len(weight), x.is_cuda):
            counted = (targets[rows] != ignore)[:, None]
            wanted = targets[rows][:, None].where(counted, 0)
            logits = (x[rows] @ low.T).float()  # (n, V)
            picked = logits.gather(1, wanted)
            peak = logits.amax(1, keepdim=True)
            shares = logits.sub_(peak).exp_()
            sums = shares.sum(1, keepdim=True)
            total += ((sums.log() + peak - picked) * counted).sum()
            # d loss / d logits = shares / sums - one-hot, and nothing for rows that do not count.
            # The division is left to the smaller matrices: three sweeps over the logits less.
            slope = shares.scatter_add_(1, wanted, -sums).to(x.dtype)
            factor = (counted / sums).to(x.dtype)
            grad_x[rows] = (slope @ low).mul_(factor)
            scaled = x[rows] * factor
            if x.dtype == weight.dtype:
                grad_weight.addmm_(slope.T, scaled)
            else:
                grad_weight += slope.T @ scaled
        ctx.save_for_backward(grad_x, grad_weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        grad_x, grad_weight = ctx.saved_tensors
        return grad_x * upstream.to(grad_x.dtype), grad_weight * upstream, None, None
