"""Counting the pieces of text that a vocabulary is learned from: compiled passes over UTF-8 bytes.

Cuts as the patterns of the same names do in `tokenizers`, with the classes of characters that its
regular expressions know, and many times as fast.
"""

# mypy: disable-error-code="no-untyped-def"
# (the types of compiled functions are numba's)

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from tokenizers import Regex, pre_tokenizers

from llm.compiled import compiled, inner
from llm.corpus.text.points import point_at

LIBRARIES = ("numpy", "tokenizers")

Array = np.ndarray[Any, np.dtype[Any]]

LETTER, NUMBER, SPACE, LINE_END = 1, 2, 4, 8
POINTS = 0x110000
# From here on no code point is a letter, a number or white space.
NAMELESS = 0x40000
CHUNK_BYTES = 4_000_000
Texts: TypeAlias = Sequence[str] | str | Any  # or an Arrow array of large strings
_PRIME = np.uint64(0x100000001B3)


@lru_cache(maxsize=1)
def character_classes() -> Array:
    """LETTER, NUMBER, SPACE and LINE_END of every code point (1,114,112) uint8."""
    points = np.r_[0:0xD800, 0xE000:NAMELESS]  # surrogates are not characters
    text = "".join(map(chr, points.tolist()))
    classes = np.zeros(POINTS, np.uint8)
    for bit, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        inside = np.ones(len(points), bool)
        splitter = pre_tokenizers.Split(Regex(pattern), behavior="removed")
        for first in range(0, len(text), 2000):  # offsets of a longer text take long to find
            for _, (begin, end) in splitter.pre_tokenize_str(text[first : first + 2000]):
                inside[first + begin : first + end] = False
        classes[points[inside]] |= bit
    classes[[10, 13]] |= LINE_END
    return classes


class PieceCounts:
    """How often each piece occurs, filled chunk by chunk.

    data: bytes of all pieces, end to end; starts (pieces + 1,); counts (pieces,).
    """

    def __init__(self) -> None:
        self._slots = np.full(1 << 16, -1, np.int64)
        self._data = np.empty(1 << 20, np.uint8)
        self._starts = np.zeros(1 << 15, np.int64)
        self._counts = np.zeros(1 << 15, np.int64)
        self._used = 0

    @property
    def data(self) -> Array:
        return self._data[: self._starts[self._used]]

    @property
    def starts(self) -> Array:
        return self._starts[: self._used + 1]

    @property
    def counts(self) -> Array:
        return self._counts[: self._used]

    def add(self, data: Array, bounds: Array, counts: Array) -> None:
        """Add pieces data[bounds[i]:bounds[i+1]], each `counts[i]` times (an empty array: once)."""
        at = 0
        while True:
            at, self._used = _tally(
                data, bounds, counts, at,
                self._slots, self._data, self._starts, self._counts, self._used,
            )  # fmt: skip
            if at == len(bounds) - 1:
                return
            needed = int(bounds[at + 1] - bounds[at])
            self._data = np.resize(self._data, 2 * len(self._data) + needed)
            self._starts = np.resize(self._starts, 2 * len(self._starts))
            self._counts = np.resize(self._counts, 2 * len(self._counts))
            self._slots = _slots(self._data, self._starts, self._used, 2 * len(self._slots))


def count_pieces(texts: Iterable[Texts], pattern: str, workers: int = 2) -> PieceCounts:
    """Count the pieces that a pattern of patterns.PATTERNS cuts texts or lists of texts into."""
    classes, by_threes = character_classes(), pattern != "gpt2"
    tables = [PieceCounts() for _ in range(workers)]

    def count(table: PieceCounts, chunk: pa.LargeStringArray) -> None:
        offsets, data = text_buffers(chunk)
        table.add(data, _cut(data, offsets, classes, by_threes), np.empty(0, np.int64))

    chunks = _chunks(texts)
    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(chunks, workers)):
            list(pool.map(count, tables, some))
    first, *others = tables
    for table in others:
        first.add(table.data, table.starts, table.counts)
    return first


def _chunks(texts: Iterable[Texts]) -> Iterator[pa.LargeStringArray]:
    """Texts in arrays of some CHUNK_BYTES."""
    waiting: list[pa.LargeStringArray] = []
    size = 0
    for item in texts:
        array: Any = [item] if isinstance(item, str) else item
        if not isinstance(array, pa.Array):
            array = pa.array(array, pa.large_string())
        waiting.append(array)
        size += array.nbytes
        if size >= CHUNK_BYTES:
            yield pa.concat_arrays(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_arrays(waiting)


def text_buffers(texts: pa.LargeStringArray) -> tuple[Array, Array]:
    """Offsets (texts + 1,) int64 into the UTF-8 bytes of texts, and those bytes, without a copy."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return ends, np.frombuffer(data or b"", np.uint8)


@compiled
def _cut(data, offsets, classes, by_threes):
    """Where pieces begin, and where the last one ends: texts lie end to end."""
    bounds = np.empty(1024, np.int64)
    found = 0
    for text in range(len(offsets) - 1):
        at, stop = offsets[text], offsets[text + 1]
        while at < stop:
            if found + 2 > len(bounds):
                larger = np.empty(2 * len(bounds), np.int64)
                larger[:found] = bounds[:found]
                bounds = larger
            bounds[found] = at
            found += 1
            if by_threes:
                at = _piece_by_threes(data, at, stop, classes)
            else:
                at = _piece_gpt2(data, at, stop, classes)
    bounds[found] = offsets[-1]
    return bounds[: found + 1].copy()


@inner
def _run(data, at, stop, classes, kind):
    """The end of the run of one class (0: symbols, that is none of the others) that begins at `at`."""
    while at < stop:
        point, size = point_at(data, at)
        has = classes[point] & 7
        if has != kind:
            break
        at += size
    return at


@inner
def _spaces(data, at, stop, classes):
    """The end of the white space at `at`, but for its last character before a word."""
    end = at
    last = at
    while end < stop:
        point, size = point_at(data, end)
        if classes[point] & 4 == 0:
            break
        last = end
        end += size
    if end < stop and last > at:
        return last
    return end


@inner
def _piece_gpt2(data, at, stop, classes):
    if data[at] == 39 and at + 1 < stop:
        first = data[at + 1]
        if first == 115 or first == 100 or first == 109 or first == 116:  # s d m t
            return at + 2
        if at + 2 < stop:
            second = data[at + 2]
            if first == 108 and second == 108:  # ll
                return at + 3
            if (first == 118 or first == 114) and second == 101:  # ve re
                return at + 3
    inside = at + 1 if data[at] == 32 and at + 1 < stop else at
    point, _ = point_at(data, inside)
    kind = classes[point] & 7
    if kind & 4:
        return _spaces(data, at, stop, classes)
    return _run(data, inside, stop, classes, kind)


@inner
def _piece_by_threes(data, at, stop, classes):
    if data[at] == 39 and at + 1 < stop:
        first = data[at + 1] | 32
        if data[at + 1] < 128 and (first == 115 or first == 116 or first == 109 or first == 100):
            return at + 2
        if data[at + 1] == 0xC5 and at + 2 < stop and data[at + 2] == 0xBF:  # ſ is a kind of s
            return at + 3
        if at + 2 < stop and data[at + 1] < 128 and data[at + 2] < 128:
            second = data[at + 2] | 32
            if first == 108 and second == 108:
                return at + 3
            if (first == 118 or first == 114) and second == 101:
                return at + 3
    point, size = point_at(data, at)
    kind = classes[point]
    if kind & 1:
        return _run(data, at, stop, classes, 1)
    if kind & 10 == 0 and at + size < stop:
        after, _ = point_at(data, at + size)
        if classes[after] & 1:
            return _run(data, at + size, stop, classes, 1)
    if kind & 2:
        end = at
        for _ in range(3):
            if end < stop:
                point, size = point_at(data, end)
                if classes[point] & 2:
                    end += size
        return end
    inside = at + 1 if data[at] == 32 and at + 1 < stop else at
    end = _run(data, inside, stop, classes, 0)
    if end > inside:
        while end < stop and (data[end] == 10 or data[end] == 13):
            end += 1
        return end
    line = np.int64(-1)
    end = at
    while end < stop:
        point, size = point_at(data, end)
        if classes[point] & 4 == 0:
            break
        end += size
        if classes[point] & 8:
            line = end
    if line >= 0:
        return line
    return _spaces(data, at, stop, classes)


@inner
def _place(slots, pool, starts, data, begin, end):
    """Where in `slots` the piece data[begin:end] is, or the empty slot where it belongs."""
    key = np.uint64(0xCBF29CE484222325)
    for at in range(begin, end):
        key = (key ^ np.uint64(data[at])) * _PRIME
    key ^= key >> np.uint64(32)
    mask = np.uint64(len(slots) - 1)
    place = key & mask
    while slots[place] >= 0:
        first = starts[slots[place]]
        if starts[slots[place] + 1] - first == end - begin:
            same = True
            for at in range(end - begin):
                if pool[first + at] != data[begin + at]:
                    same = False
                    break
            if same:
                break
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def _tally(data, bounds, weights, first, slots, pool, starts, counts, used):
    """Count pieces from the one of number `first` until there is no more room: (next, used)."""
    for piece in range(first, len(bounds) - 1):
        begin, end = bounds[piece], bounds[piece + 1]
        place = _place(slots, pool, starts, data, begin, end)
        if slots[place] < 0:
            room = starts[used] + end - begin <= len(pool) and used + 2 <= len(starts)
            if not room or 2 * (used + 1) > len(slots):
                return piece, used
            pool[starts[used] : starts[used] + end - begin] = data[begin:end]
            starts[used + 1] = starts[used] + end - begin
            counts[used] = 0
            slots[place] = used
            used += 1
        counts[slots[place]] += weights[piece] if len(weights) else 1
    return len(bounds) - 1, used


@compiled
def _slots(pool, starts, used, size):
    slots = np.full(size, -1, np.int64)
    for piece in range(used):
        place = _place(slots, pool, starts, pool, starts[piece], starts[piece + 1])
        slots[place] = piece
    return slots
