"""The substrings that pieces of text have in common, and where they stand: the first tokens of Unigram.

All positions are sorted by what comes after them; positions that begin alike then lie side by side,
and a substring is a run of them (a suffix array, cut to a token's greatest length).
"""

# mypy: disable-error-code="no-untyped-def"
# (the types of compiled functions are numba's)

from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.compiled import compiled

LIBRARIES = ("numpy",)

Array = np.ndarray[Any, np.dtype[Any]]

LONGEST = 16  # bytes of a token, as in SentencePiece (characters there)


@dataclass(frozen=True)
class Substrings:
    """Substrings of a text and, by position, those that begin there.

    counts, lengths (bytes), places (where one of them stands): (substrings,). At position p of the
    text begin found[starts[p]:starts[p + 1]].
    """

    counts: Array
    lengths: Array
    places: Array
    starts: Array
    found: Array


def common_substrings(data: Array, bounds: Array, counts: Array, most: int) -> Substrings:
    """The substrings of 2 to LONGEST bytes inside pieces, `most` of them at most.

    data: bytes of all pieces, which lie between bounds (pieces + 1,), each counts (pieces,) times.
    Of a substring that never occurs without the same byte after it, only the longer one is taken.
    Those come first that cover the most text; of those that cover as much, the first in the order
    of bytes. What occurs once is left out.
    """
    ends = np.repeat(bounds[1:], np.diff(bounds))
    room = np.minimum(ends - np.arange(len(data)), LONGEST)
    padded = np.concatenate([data, np.zeros(LONGEST, np.uint8)])
    keys = np.zeros((2, len(data)), np.uint64)
    for place in range(LONGEST):
        byte = np.where(place < room, padded[place : place + len(data)], 0).astype(np.uint64)
        keys[place // 8] |= byte << np.uint64(56 - 8 * (place % 8))
    order = np.lexsort((room, keys[1], keys[0]))
    del keys
    weights = np.repeat(counts, np.diff(bounds))[order]
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(weights)])
    left, right, lengths = _runs(data, order, room.astype(np.int64), sums)
    times = sums[right] - sums[left]
    best = np.lexsort((lengths, left, -times * lengths))[:most]
    left, right, lengths = left[best], right[best], lengths[best]
    starts, found = _by_position(order, left, right)
    return Substrings(times[best], lengths, order[left], starts, found)


@compiled
def _runs(data, order, room, sums):
    """The runs left:right of sorted positions that have `length` bytes in common, and no more."""
    size = len(order)
    found = np.empty((3, 1024), np.int64)
    runs = 0
    open_left = np.empty(LONGEST + 2, np.int64)  # the runs not ended yet, longer and longer
    open_length = np.empty(LONGEST + 2, np.int64)
    depth = 0
    for at in range(size + 1):
        common = np.int64(0)
        if 0 < at < size:
            before, here = order[at - 1], order[at]
            limit = min(room[before], room[here])
            while common < limit and data[before + common] == data[here + common]:
                common += 1
        left = np.int64(at)
        while depth > 0 and open_length[depth - 1] > common:
            depth -= 1
            left, length = open_left[depth], open_length[depth]
            if length >= 2 and sums[at] - sums[left] >= 2:
                if runs == found.shape[1]:
                    larger = np.empty((3, 2 * runs), np.int64)
                    larger[:, :runs] = found
                    found = larger
                found[0, runs], found[1, runs], found[2, runs] = left, at, length
                runs += 1
        if common > 0 and (depth == 0 or open_length[depth - 1] < common):
            open_left[depth], open_length[depth] = left, common
            depth += 1
        if at < size and room[order[at]] > common:
            open_left[depth], open_length[depth] = at, room[order[at]]
            depth += 1
    return found[0, :runs].copy(), found[1, :runs].copy(), found[2, :runs].copy()


@compiled
def _by_position(order, left, right):
    """Which runs each position is in: those of position p are found[starts[p]:starts[p + 1]]."""
    starts = np.zeros(len(order) + 1, np.int64)
    for run in range(len(left)):
        for at in range(left[run], right[run]):
            starts[order[at] + 1] += 1
    starts = np.cumsum(starts)
    found = np.empty(starts[-1], np.int32)
    free = starts.copy()
    for run in range(len(left)):
        for at in range(left[run], right[run]):
            found[free[order[at]]] = run
            free[order[at]] += 1
    return starts, found
