"""Gradients that add up in float32."""

# mypy: ignore-errors
# (types are numba's here)

from numba import carray

from llm.models.kernels.numbers import ZERO, pointer, wide


def add(total, new, size, like):
    """total += new: total (size,) float32, new (size,)."""
    total, new = carray(pointer(total, ZERO), size), carray(pointer(new, like), size)
    for i in range(size):
        total[i] += wide(new[i])
