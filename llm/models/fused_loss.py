"""The head and its cross-entropy for GPUs: `loss.summed_loss` with its sweeps over logits fused.

Written out, softmax and its gradient sweep over a slice of logits ten times, and on a GPU that takes
as long as a third of the model's matrix products; compiled, they are two kernels. The head is padded
to a multiple of 64 words, which tensor cores ask for: GPT-2's 50,257 words become 50,304.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llm.models.loss import IGNORE, SumWithGradients

SLICE_ELEMENTS = 1 << 27  # logits in one slice: 256 MiB in bfloat16
MULTIPLE = 64  # words


def summed_loss(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    ignore: int = IGNORE,
    bias: Tensor | None = None,
    soft_cap: float | None = None,
    z_loss: float = 0.0,
) -> Tensor:
    """What `loss.summed_loss` gives, with its gradients; where none are made, the same too."""
    total: Tensor = _FusedLoss.apply(x, weight, bias, targets, ignore, soft_cap, z_loss)
    return total


def slice_rows(vocabulary: int) -> int:
    """Rows of a slice: a power of two, as the number of rows mostly is, so slices are of one shape."""
    fitting = max(1, SLICE_ELEMENTS // vocabulary)
    return 1 << (fitting.bit_length() - 1)


def slope(
    logits: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    vocabulary: int,
    ignore: int,
    soft_cap: float | None,
    z_loss: float,
) -> tuple[Tensor, Tensor]:
    """The nats of a slice's rows, summed, and what they change by with the product.

    logits (n, V + padding) without bias, targets (n,) → a float32 scalar, and (n, V + padding) in the
    type of the logits. See `loss._SummedLoss` for the formula.
    """
    wide = logits.float()
    words = torch.arange(logits.shape[1], device=logits.device)
    if bias is not None:
        wide = wide + bias
    if soft_cap is not None:
        wide = soft_cap * torch.tanh(wide / soft_cap)
    masked = torch.where(words < vocabulary, wide, -torch.inf)
    counted = (targets != ignore)[:, None]
    wanted = targets[:, None].where(counted, 0)
    log_z = torch.logsumexp(masked, 1, keepdim=True)
    nats = ((log_z - masked.gather(1, wanted)) * counted).sum()
    change = torch.exp(masked - log_z) * (1 + 2 * z_loss * log_z) - (words == wanted).float()
    if soft_cap is not None:
        change = change * (1 - (wide / soft_cap).square())
    return nats, (change * counted).to(logits.dtype)


@cache
def _compiled() -> Any:
    return torch.compile(slope, dynamic=False)


class _FusedLoss(SumWithGradients):
    """As `loss._SummedLoss`, by fused sweeps."""

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
        vocabulary = len(weight)
        padding = -vocabulary % MULTIPLE
        low = F.pad(weight.to(x.dtype), (0, 0, 0, padding))
        shift = None if bias is None else F.pad(bias, (0, padding))
        grad_x = torch.empty_like(x)
        learns = weight.requires_grad
        # Slices add up in it.
        grad_weight = torch.zeros_like(low, dtype=torch.float32) if learns else None
        grad_bias = None if bias is None else torch.zeros_like(shift)  # type: ignore[arg-type]
        total = x.new_zeros((), dtype=torch.float32)
        made = _compiled() if x.is_cuda else slope
        step = slice_rows(vocabulary)
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            logits = x[rows] @ low.T  # (n, V + padding)
            nats, change = made(logits, shift, targets[rows], vocabulary, ignore, soft_cap, z_loss)
            total += nats
            torch.mm(change, low, out=grad_x[rows])
            if grad_weight is not None:
                grad_weight += change.T @ x[rows]
            if grad_bias is not None:
                grad_bias += change.sum(0, dtype=torch.float32)
        ctx.added = False  # a trainer with DDP's hooks wants to be given them
        ctx.save_for_backward(
            grad_x,
            None if grad_weight is None else grad_weight[:vocabulary],
            None if grad_bias is None else grad_bias[:vocabulary],
        )
        return total
