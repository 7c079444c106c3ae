"""Dropout whose choices are a function of a seed and of the place: nothing is drawn, nothing is kept.

PyTorch draws one number after the other from a Mersenne Twister, which on a CPU takes as long as the
matrix products around it. Here each place is hashed, many at a time, and hashed again on the way back.
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.compiled import inner
from llm.models.kernels.numbers import ZERO, narrow, pointer, wide

# The finaliser "lowbias32" (Wellons, Hash Function Prospector), with the seed's halves mixed in.
STEP = np.uint32(0x9E3779B9)  # 2^32 by the golden ratio: places far apart, whatever the seed
FIRST, SECOND = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
HALF_WORD, LESS = np.uint32(16), np.uint32(15)


@inner
def keeps(place, low, high, threshold):
    """Whether the element at a place (uint32) is kept: so are all but threshold / 2^32."""
    x = np.uint32(np.uint32(place * STEP) + low)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> HALF_WORD)) * FIRST)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> LESS)) + high)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> HALF_WORD)) * SECOND)
    return np.uint32(x ^ np.uint32(x >> HALF_WORD)) >= threshold


def drop(
    x, base, y, places, rows, width, low, high, threshold, scale: np.float32, based: bool, placed: bool,
    like,
):  # fmt: skip
    """y = base + x * scale where x is kept, base elsewhere: all (rows, width); no base where not based.

    places (rows,): which rows of a larger matrix these are, where placed: choices are those of its.
    """
    x, y = carray(pointer(x, like), (rows, width)), carray(pointer(y, like), (rows, width))
    base = carray(pointer(base, like), (rows, width))
    places = carray(pointer(places, np.int64(0)), rows)
    low, high, threshold = np.uint32(low), np.uint32(high), np.uint32(threshold)
    for i in range(rows):
        begin = np.uint32((places[i] if placed else i) * width)
        source, under, target = x[i], base[i], y[i]
        for j in range(width):
            kept = keeps(np.uint32(begin + np.uint32(j)), low, high, threshold)
            value = wide(source[j]) * scale if kept else ZERO
            target[j] = narrow(wide(under[j]) + value if based else value, like)
