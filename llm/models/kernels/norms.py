"""RMSNorm and LayerNorm, a row at a time. Statistics and sums are in float32."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.models.kernels.numbers import ONE, ZERO, narrow, pointer, wide


def rms_norm(x, weight, y, scales, rows, width, epsilon: np.float32, like):
    """y = x * scale * weight with scale = 1 / sqrt(mean(x^2) + epsilon), kept in scales (rows,).

    x, y (rows, width); weight (width,) float32.
    """
    x, y = carray(pointer(x, like), (rows, width)), carray(pointer(y, like), (rows, width))
    weight, scales = carray(pointer(weight, ZERO), width), carray(pointer(scales, ZERO), rows)
    for i in range(rows):
        squares = ZERO
        for j in range(width):
            value = wide(x[i, j])
            squares += value * value
        scale = ONE / np.sqrt(squares / np.float32(width) + epsilon)
        scales[i] = scale
        for j in range(width):
            y[i, j] = narrow(wide(x[i, j]) * scale * weight[j], like)


def rms_norm_slopes(
    slope, x, weight, scales, base, grad_x, grad_weight, rows, width, based: bool, like
):
    """From slope, d loss / d y, to grad_x, and what is added to grad_weight (width,) float32.

    base (rows, width) is added to grad_x, where based: the slope of the residual stream.

    With n = x * scale: d weight = sum(slope * n), and d x = scale * (slope * weight - n * mean(slope
    * weight * n)).
    """
    slope, x = carray(pointer(slope, like), (rows, width)), carray(pointer(x, like), (rows, width))
    grad_x, base = (
        carray(pointer(grad_x, like), (rows, width)),
        carray(pointer(base, like), (rows, width)),
    )
    weight, scales = carray(pointer(weight, ZERO), width), carray(pointer(scales, ZERO), rows)
    grad_weight = carray(pointer(grad_weight, ZERO), width)
    for i in range(rows):
        scale = scales[i]
        mean = ZERO
        for j in range(width):
            product = wide(slope[i, j]) * wide(x[i, j]) * scale
            grad_weight[j] += product
            mean += product * weight[j]
        mean /= np.float32(width)
        for j in range(width):
            change = wide(slope[i, j]) * weight[j] - wide(x[i, j]) * scale * mean
            change *= scale
            grad_x[i, j] = narrow(wide(base[i, j]) + change if based else change, like)


def layer_norm(
    x, weight, bias, y, means, scales, rows, width, epsilon: np.float32, biased: bool, like
):
    """y = (x - mean) * scale * weight + bias with scale = 1 / sqrt(variance + epsilon).

    x, y (rows, width); weight, bias (width,), means, scales (rows,) float32, the last two kept.
    """
    x, y = carray(pointer(x, like), (rows, width)), carray(pointer(y, like), (rows, width))
    weight, bias = carray(pointer(weight, ZERO), width), carray(pointer(bias, ZERO), width)
    means, scales = carray(pointer(means, ZERO), rows), carray(pointer(scales, ZERO), rows)
    for i in range(rows):
        mean = ZERO
        for j in range(width):
            mean += wide(x[i, j])
        mean /= np.float32(width)
        squares = ZERO
        for j in range(width):
            value = wide(x[i, j]) - mean
            squares += value * value
        scale = ONE / np.sqrt(squares / np.float32(width) + epsilon)
        means[i], scales[i] = mean, scale
        for j in range(width):
            value = (wide(x[i, j]) - mean) * scale * weight[j]
            y[i, j] = narrow(value + bias[j] if biased else value, like)


def layer_norm_slopes(
    slope, x, weight, means, scales, base, grad_x, grad_weight, grad_bias, rows, width, biased: bool,
    based: bool, like,
):  # fmt: skip
    """From slope, d loss / d y, to grad_x, and what is added to grad_weight and grad_bias (width,).

    base (rows, width) is added to grad_x, where based: the slope of the residual stream.

    With n = (x - mean) * scale and g = slope * weight: d x = scale * (g - mean(g) - n * mean(g * n)).
    """
    slope, x = carray(pointer(slope, like), (rows, width)), carray(pointer(x, like), (rows, width))
    grad_x, base = (
        carray(pointer(grad_x, like), (rows, width)),
        carray(pointer(base, like), (rows, width)),
    )
    means, scales = carray(pointer(means, ZERO), rows), carray(pointer(scales, ZERO), rows)
    weight, grad_weight = (
        carray(pointer(weight, ZERO), width),
        carray(pointer(grad_weight, ZERO), width),
    )
    grad_bias = carray(pointer(grad_bias, ZERO), width)
    for i in range(rows):
        mean, scale = means[i], scales[i]
        shift, tilt = ZERO, ZERO
        for j in range(width):
            arrived = wide(slope[i, j])
            product = arrived * (wide(x[i, j]) - mean) * scale
            grad_weight[j] += product
            if biased:
                grad_bias[j] += arrived
            shift += arrived * weight[j]
            tilt += product * weight[j]
        shift /= np.float32(width)
        tilt /= np.float32(width)
        for j in range(width):
            normal = (wide(x[i, j]) - mean) * scale
            change = wide(slope[i, j]) * weight[j] - shift - normal * tilt
            change *= scale
            grad_x[i, j] = narrow(wide(base[i, j]) + change if based else change, like)
