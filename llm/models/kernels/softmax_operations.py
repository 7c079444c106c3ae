"""The kernels of attention's softmax as functions of tensors: see `operations`."""

import torch
from torch import Tensor

from llm.models.kernels.calls import Kernel, address
from llm.models.kernels.choices import Drop

MASKED_SOFTMAX = Kernel("softmax.masked_softmax")
SOFTMAX_SLOPES, KEPT_WEIGHTS = Kernel("softmax.softmax_slopes"), Kernel("softmax.kept_weights")
DROPPED_SOFTMAX_SLOPES = Kernel("softmax.dropped_softmax_slopes")
NONE = (0, 0, 0)


def masked_softmax(
    scores: Tensor, block: int | None, lengths: Tensor | None = None, drop: Drop | None = None
) -> Tensor:
    """Softmax of scores (N, rows, keys) in place; what values are to be weighed by.

    block: rows are blocks of as many queries, the last of as many keys, of which each sees those up to
    its own; None: each sees all. lengths (m,) int64, m a divisor of N: how many keys there are of each
    N / m products. drop: some weights count nothing, and are negative in scores afterwards.
    """
    products, rows, keys = scores.shape
    shares = scores.new_empty(keys, dtype=torch.float32)
    dropped = scores if drop is None else torch.empty_like(scores)
    each = 1 if lengths is None else products // len(lengths)
    numbers, scale = (NONE, 1.0) if drop is None else (drop.numbers, drop.scale)
    MASKED_SOFTMAX(
        scores.dtype, address(scores), address(lengths), address(dropped), address(shares), products,
        rows, block or rows, keys, each, *numbers, scale, block is not None, lengths is not None,
        drop is not None,
    )  # fmt: skip
    return dropped


def kept_weights(weights: Tensor, drop: Drop | None) -> Tensor:
    """What values were weighed by, from what `masked_softmax` left in scores."""
    if drop is None:
        return weights
    dropped = torch.empty_like(weights)
    KEPT_WEIGHTS(weights.dtype, address(weights), address(dropped), weights.numel(), drop.scale)
    return dropped


def softmax_slopes(weights: Tensor, slopes: Tensor, drop: Drop | None = None) -> Tensor:
    """From slopes of what values are weighed by (..., keys) to those of scores, in place."""
    keys = slopes.shape[-1]
    given = address(weights), address(slopes), slopes.numel() // keys, keys
    if drop is None:
        SOFTMAX_SLOPES(slopes.dtype, *given)
    else:
        DROPPED_SOFTMAX_SLOPES(slopes.dtype, *given, drop.scale)
    return slopes
