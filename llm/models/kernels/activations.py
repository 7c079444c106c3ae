"""Activations, element by element, and what they change by.

The slope takes little more where the value is made, and a lot where it is made again: so it is kept
for the backward pass, instead of what it depends on and in as much memory.
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.compiled import inner
from llm.models.kernels.numbers import HALF, ONE, ZERO, exp, narrow, pointer, wide

ROOT_HALF = np.float32(0.5**0.5)
DENSITY = np.float32((2 * np.pi) ** -0.5)  # of the normal distribution, at 0
# Abramowitz and Stegun, 7.1.26: erfc to 1.5e-7
RATIO = np.float32(0.3275911)
ERFC = tuple(
    np.float32(value)
    for value in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
)
TWICE_SCALE = np.float32(2 * (2 / np.pi) ** 0.5)
CUBE, THREE = np.float32(0.044715), np.float32(3)


@inner
def normal(x):
    """The normal distribution's probability up to x, and e^(-x^2 / 2)."""
    size = abs(x) * ROOT_HALF
    bell = exp(-size * size)
    t = ONE / (ONE + RATIO * size)
    tail = ((((ERFC[4] * t + ERFC[3]) * t + ERFC[2]) * t + ERFC[1]) * t + ERFC[0]) * t * bell * HALF
    return (tail if x < ZERO else ONE - tail), bell


@inner
def sigmoid(x):
    return ONE / (ONE + exp(-x))


def gelu(x, y, slope, size, like):
    """y = x P(x) and slope = P(x) + x p(x): all (size,)."""
    x, y = carray(pointer(x, like), size), carray(pointer(y, like), size)
    slope = carray(pointer(slope, like), size)
    for i in range(size):
        value = wide(x[i])
        share, bell = normal(value)
        y[i] = narrow(value * share, like)
        slope[i] = narrow(share + value * bell * DENSITY, like)


def gelu_tanh(x, y, slope, size, like):
    """y = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), slope: all (size,)."""
    x, y = carray(pointer(x, like), size), carray(pointer(y, like), size)
    slope = carray(pointer(slope, like), size)
    for i in range(size):
        value = wide(x[i])
        square = value * value
        share = sigmoid(TWICE_SCALE * value * (ONE + CUBE * square))
        y[i] = narrow(value * share, like)
        steep = TWICE_SCALE * (ONE + THREE * CUBE * square)
        slope[i] = narrow(share * (ONE + value * (ONE - share) * steep), like)


def relu2(x, y, slope, size, like):
    """y = max(x, 0)^2 and slope = 2 max(x, 0): all (size,)."""
    x, y = carray(pointer(x, like), size), carray(pointer(y, like), size)
    slope = carray(pointer(slope, like), size)
    for i in range(size):
        value = wide(x[i])
        value = ZERO if value < ZERO else value
        y[i] = narrow(value * value, like)
        slope[i] = narrow(value + value, like)


def swiglu(gate, up, y, gate_slope, up_slope, size, like):
    """y = gate sigmoid(gate) up, and what it changes by with gate and with up: all (size,)."""
    gate, up = carray(pointer(gate, like), size), carray(pointer(up, like), size)
    y, gate_slope = carray(pointer(y, like), size), carray(pointer(gate_slope, like), size)
    up_slope = carray(pointer(up_slope, like), size)
    for i in range(size):
        value, factor = wide(gate[i]), wide(up[i])
        share = sigmoid(value)
        y[i] = narrow(value * share * factor, like)
        gate_slope[i] = narrow(factor * share * (ONE + value * (ONE - share)), like)
        up_slope[i] = narrow(value * share, like)


def times(slope, gradient, product, size, like):
    """product = slope * gradient: all (size,)."""
    slope, gradient = carray(pointer(slope, like), size), carray(pointer(gradient, like), size)
    product = carray(pointer(product, like), size)
    for i in range(size):
        product[i] = narrow(wide(slope[i]) * wide(gradient[i]), like)
