"""Code points of UTF-8 bytes, what they say of words, and hashes of them, for compiled passes.

No Python string is made.
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np

from llm.compiled import inner
from llm.corpus.text.characters import FOLLOWING, KATAKANA, LEADING, MARK, POINTS, UNSPACED

# What the hash of a word begins with.
SEED = np.uint64(0x9E3779B97F4A7C15)
# What it is multiplied by for each character.
STEP = np.uint64(0x9FB21C651E98DF25)


@inner
def point_at(data, at):
    """The code point that begins at data[at] and its bytes; the text must be valid UTF-8."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[at + 1] & 0x3F), 2
    point = (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)
    if first < 0xF0:
        return point, 3
    point = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    point |= np.int64(data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F)
    return min(point, POINTS - 1), 4


@inner
def spread(value):
    """Spread a 64-bit value evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inner
def folded_in(value, point):
    """The hash of a word and one more character."""
    value = (value ^ np.uint64(point)) * STEP
    return value ^ (value >> np.uint64(32))


@inner
def breaks(before, kind):
    """Whether a word ends between two word characters, because of a script without spaces."""
    here = kind & UNSPACED
    there = before & UNSPACED
    if not here and not there:
        return False
    if kind & MARK:
        return False
    if here != there:
        return True
    return not (here & KATAKANA or kind & FOLLOWING or before & LEADING)
