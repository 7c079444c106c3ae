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


def add_rows(total, new, rows, width, like):
    """total += the sum of the rows of new (rows, width): total (width,) float32."""
    total = carray(pointer(total, ZERO), width)
    new = carray(pointer(new, like), (rows, width))
    for i in range(rows):
        row = new[i]
        for j in range(width):
            total[j] += wide(row[j])
