"""The head and its cross-entropy in one, a slice of rows at a time, so that logits never pile up.

With a vocabulary of 32,768 the logits of 16,384 tokens take two gigabytes in float32, and their
gradients as much; a slice takes 32 megabytes in bfloat16. The backward pass would need the logits
again, so gradients are made while they are there: that is possible because the result is a plain
sum, whose gradient is the same constant for every row.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llm.models.gradient_places import place_for
from llm.models.gradients import add, add_product
from llm.models.kernels import availability, products

IGNORE = -100  # a target that counts nothing
SLICE_ELEMENTS = 1 << 24  # logits in one slice: enough for large matrix products
CUDA_SLICE_ELEMENTS = 1 << 27  # of a slice, a product and a sweep on a GPU
PRODUCT_ELEMENTS = 1 << 18  # of a product that is added to another type at once
SWEEP_ELEMENTS = 1 << 18  # logits that are worked on at once (1 MiB in float32): a core's cache


def slices(rows: int, vocabulary: int, elements: int) -> Iterator[slice]:
    """Cut `rows` rows so that a slice of logits has no more than `elements`, or is one row."""
    step = max(1, elements // vocabulary)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


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
    return _finished(x @ weight.to(x.dtype).T, bias, soft_cap)


def _finished(products: Tensor, bias: Tensor | None, soft_cap: float | None) -> Tensor:
    """What makes products (n, V) logits; `products` themselves where nothing is to be done."""
    logits = products.float()
    if bias is not None:
        logits = logits + bias
    return logits if soft_cap is None else soft_cap * torch.tanh(logits / soft_cap)


def _sizes(x: Tensor) -> tuple[int, int]:
    """Logits in a slice, and in a sweep."""
    return (CUDA_SLICE_ELEMENTS,) * 2 if x.is_cuda else (SLICE_ELEMENTS, SWEEP_ELEMENTS)


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
    counted = targets != ignore
    wanted = targets.where(counted, 0)[:, None]
    losses = x.new_zeros(len(x), dtype=torch.float32)
    slice_elements, sweep_elements = _sizes(x)
    for rows in slices(len(x), len(weight), slice_elements):
        products = x[rows] @ low.T
        for sweep in slices(len(products), len(weight), sweep_elements):
            shares = torch.log_softmax(_finished(products[sweep], bias, soft_cap), dim=-1)
            losses[rows][sweep] = -shares.gather(1, wanted[rows][sweep])[:, 0]
    return losses * counted


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


class SumWithGradients(torch.autograd.Function):
    """A loss whose gradients were made with its value; `forward` saves those of x, weight and bias.

    It is given x, weight, bias, targets, ignore, soft_cap and z_loss.
    """

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        if not upstream.is_cuda and upstream == 1:  # a GPU would have to be waited for
            return grad_x, grad_weight, grad_bias, *[None] * 4
        if ctx.added:
            raise RuntimeError(
                f"a loss whose gradients were added in place is multiplied by {float(upstream)}: learn "
                "from it as it is, or see gradient_places.add_in_place"
            )
        grad_bias = None if grad_bias is None else grad_bias * upstream
        grad_weight = None if grad_weight is None else grad_weight * upstream
        grad_x = grad_x * upstream.to(grad_x.dtype)
        return grad_x, grad_weight, grad_bias, *[None] * 4


class _SummedLoss(SumWithGradients):
    """With l the logits, p their softmax, Z its divisor and z the z-loss: d loss / d l = p - one-hot,
    and d z (ln Z)^2 / d l = 2 z ln Z p. A soft-cap's slope, 1 - (l / cap)^2, is multiplied on.

    A slice of rows is what matrix products are made of; between them, a few rows at a time go from
    logits to slopes, in the processor's cache and in place.
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
        # In float32 whatever x is: slices add up in it.
        learns = weight.requires_grad
        weight_sum, grad_weight = place_for(weight) if learns else (None, None)
        bias_sum, grad_bias = (None, None) if bias is None else place_for(bias)
        fused = soft_cap is None and availability.usable(x, bias, inside=True)
        total = x.new_zeros((), dtype=torch.float32)
        factors = x.new_empty((len(x), 1), dtype=torch.float32)
        slice_elements, sweep_elements = _sizes(x)
        cuts = list(slices(len(x), len(weight), slice_elements))
        memory = x.new_empty((max((cut.stop - cut.start for cut in cuts), default=0), len(weight)))
        for rows in cuts:
            slopes = memory[: rows.stop - rows.start]  # products to begin with
            torch.mm(x[rows], low.T, out=slopes)
            if fused:
                from llm.models.kernels import operations

                total += operations.cross_entropy(
                    slopes, targets[rows], ignore, bias, z_loss, factors[rows], bias_sum
                )
            for sweep in () if fused else slices(len(slopes), len(weight), sweep_elements):
                total += _to_slopes(
                    slopes[sweep],
                    targets[rows][sweep],
                    ignore,
                    bias,
                    soft_cap,
                    z_loss,
                    factors[rows][sweep],
                    bias_sum,
                )
            factor = factors[rows].to(x.dtype)
            grad_x[rows] = (slopes @ low).mul_(factor)
            if weight_sum is not None:
                _add_product(weight_sum, slopes, x[rows] * factor)
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        ctx.added = (learns and grad_weight is None) or (bias is not None and grad_bias is None)
        return total


def _to_slopes(
    products: Tensor,
    targets: Tensor,
    ignore: int,
    bias: Tensor | None,
    soft_cap: float | None,
    z_loss: float,
    factors: Tensor,
    grad_bias: Tensor | None,
) -> Tensor:
    """Turn products (n, V) into d loss / d products, but for a factor of each row; the loss.

    Writes the factors (n, 1) and adds to the bias's gradient. The factor is 1 / Z, or 0 for a row
    that does not count: left to the smaller matrices, that saves a sweep over the logits.
    """
    counted = (targets != ignore)[:, None]
    wanted = targets[:, None].where(counted, 0)
    logits = _finished(products, bias, soft_cap)
    cap_slope = None if soft_cap is None else 1 - (logits / soft_cap).square()
    picked = logits.gather(1, wanted)
    peak = logits.amax(1, keepdim=True)
    shares = logits.sub_(peak).exp_()
    sums = shares.sum(1, keepdim=True)
    log_z = sums.log() + peak
    if z_loss:
        shares = shares.mul_(1 + 2 * z_loss * log_z)
    slope = shares.scatter_add_(1, wanted, -sums)
    if cap_slope is not None:
        slope = slope.mul_(cap_slope)
    torch.div(counted, sums, out=factors)
    if grad_bias is not None:
        grad_bias += (slope * factors).sum(0)
    products.copy_(slope)
    return ((log_z - picked) * counted).sum()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left^T right, in total's type: (n, V) and (n, d) → (V, d)."""
    if total.dtype == left.dtype or products.can_add(total, left, right):
        add_product(total, left, right)
        return
    elements = CUDA_SLICE_ELEMENTS if total.is_cuda else PRODUCT_ELEMENTS
    for words in slices(len(total), total.shape[1], elements):
        add(total[words], left[:, words].T @ right)
