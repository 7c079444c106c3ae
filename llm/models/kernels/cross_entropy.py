"""From logits to their slopes, in the memory that held the logits."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.compiled import inner
from llm.models.kernels.numbers import (
    LEAST,
    ONE,
    ZERO,
    bits_of,
    exp,
    from_bits,
    in_order,
    narrow,
    pointer,
    wide,
)

TWO = np.float32(2)


@inner
def logit(row, bias, j, counted_bias):
    return wide(row[j]) + bias[j] if counted_bias else wide(row[j])


def cross_entropy(
    products, bias, targets, factors, grad_bias, loss, rows, words, ignore, z_loss: np.float32,
    counted_bias: bool, like,
):  # fmt: skip
    """Turn logits (rows, words) into d loss / d logits but for a factor of each row.

    bias (words,) float32 is added first, and its gradient added to grad_bias (words,), where
    counted_bias. targets (rows,) int64; factors (rows,) float32 are written: 1 / Z, 0 for a target
    that is `ignore`. The loss is added to loss (1,) float64. See `llm.models.loss`.
    """
    products = carray(pointer(products, like), (rows, words))
    bias = carray(pointer(bias, ZERO), words)
    grad_bias = carray(pointer(grad_bias, ZERO), words)
    targets = carray(pointer(targets, np.int64(0)), rows)
    factors = carray(pointer(factors, ZERO), rows)
    loss = carray(pointer(loss, 0.0), 1)
    for i in range(rows):
        row = products[i]
        target = targets[i]
        if target == ignore:
            factors[i] = ZERO
            row[:] = narrow(ZERO, like)
            continue
        largest = LEAST
        for j in range(words):
            value = logit(row, bias, j, counted_bias)
            largest = max(largest, in_order(np.int32(bits_of(value))))
        peak = from_bits(np.uint32(in_order(largest)))
        picked = logit(row, bias, target, counted_bias)
        sums = ZERO
        for j in range(words):
            share = exp(logit(row, bias, j, counted_bias) - peak)
            sums += share
            row[j] = narrow(share, like)
        log_z = np.float32(np.log(sums)) + peak
        loss[0] += log_z - picked
        factors[i] = ONE / sums
        scale = ONE + TWO * z_loss * log_z
        if z_loss != ZERO:
            for j in range(words):
                row[j] = narrow(wide(row[j]) * scale, like)
        row[target] = narrow(exp(picked - peak) * scale - sums, like)
        if counted_bias:
            for j in range(words):
                grad_bias[j] += wide(row[j]) * factors[i]
