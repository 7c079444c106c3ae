"""Passes over UTF-8 bytes, compiled: no Python string is made and the GIL is free meanwhile.

Compiled by numba at first use and kept on disk beside this file or, where that cannot be written,
in the user's cache folder (NUMBA_CACHE_DIR names another). Call them through words and signals,
which always hand over arrays of the same types: another type would be compiled anew.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from llm.corpus.characters import (
    APOSTROPHE,
    FOLLOWING,
    KATAKANA,
    LEADING,
    LETTER,
    MARK,
    POINTS,
    UNSPACED,
    WORD,
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL, kept on disk where there is a place for it."""
    try:
        made: Callable[..., Any] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the checkout nor the home can be written
        made = njit(nogil=True)(function)
    return made


@compiled
def point_at(data, at):  # type: ignore[no-untyped-def]
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


@compiled
def spread(value):  # type: ignore[no-untyped-def]
    """Spread a 64-bit value evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
def hash_words(data, offsets, classes, folded):  # type: ignore[no-untyped-def]
    """Hashes of all words and where each text's begin: see `words.word_hashes`."""
    texts = len(offsets) - 1
    starts = np.zeros(texts + 1, np.int64)
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + texts + 1, np.uint64)
    found = 0
    for text in range(texts):
        at, end = offsets[text], offsets[text + 1]
        inside = False
        before = np.uint32(0)
        value = np.uint64(0)
        while at < end:
            byte = data[at]
            if byte < 0x80:
                size = 1
                kind = classes[byte]
                fold = folded[byte]
            else:
                point, size = point_at(data, at)
                kind = classes[point]
                fold = folded[point]
            if kind & WORD:
                if inside and (kind | before) & UNSPACED and breaks(before, kind):
                    hashes[found] = spread(value)
                    found += 1
                    inside = False
            elif inside:
                after = np.uint32(0)
                if kind & APOSTROPHE and before & LETTER and at + size < end:
                    after = classes[point_at(data, at + size)[0]]
                if after & LETTER:
                    kind = np.uint32(WORD)
                else:
                    hashes[found] = spread(value)
                    found += 1
                    inside = False
            if kind & WORD:
                if not inside:
                    inside = True
                    value = np.uint64(0x9E3779B97F4A7C15)
                value = (value ^ np.uint64(fold)) * np.uint64(0x9FB21C651E98DF25)
                value ^= value >> np.uint64(32)
            if not kind & MARK:
                before = kind
            at += size
        if inside:
            hashes[found] = spread(value)
            found += 1
        starts[text + 1] = found
    return hashes[:found].copy(), starts


@compiled
def breaks(before, kind):  # type: ignore[no-untyped-def]
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
