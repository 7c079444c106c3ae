"""Text as arrays: code points, words and lines of many texts at once, each span with a hash.

Filters and deduplication look at every word of a corpus. Done for a batch of texts in one pass
over an array of code points, that costs a tenth of what Python strings cost.
"""

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from llm.corpus.characters import classes, folded

# Bits of a character's kind.
WORD, LETTER, SPACE, ALONE, APOSTROPHE = 1, 2, 4, 8, 16

# Scripts written without spaces: there each character counts as a word (first and last point).
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, further planes
)
# No letter, digit or mark lies beyond (Unicode 17), but for invisible tags and selectors.
_LAST_LETTER = 0x3347F
# Characters in one batch: large enough to hide numpy's cost per call, small enough for the cache.
BATCH_CHARACTERS = 1 << 19
_BASE = 0x9E3779B97F4A7C15 | 1


@dataclass(frozen=True)
class Batch:
    """Texts joined by newlines. P code points, D texts; text d is points[starts[d]:ends[d]]."""

    points: np.ndarray  # (P,) uint32
    kinds: np.ndarray  # (P,) uint8, bits as above
    starts: np.ndarray  # (D,) int64
    ends: np.ndarray  # (D,) int64
    prefix: np.ndarray  # (P + 1,) uint64, polynomial hash of points[:p]

    def text_of(self, positions: np.ndarray) -> np.ndarray:
        """Which text each position lies in: (S,) → (S,) int64."""
        return np.searchsorted(self.ends, positions, side="left")

    def hashes(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """A 64-bit hash of each span points[start:end], equal for equal text: (S,) uint64."""
        back = _powers(len(self.prefix))[1]
        return mix((self.prefix[ends] - self.prefix[starts]) * back[starts])


@dataclass(frozen=True)
class Spans:
    """S pieces of a batch, in order: points[starts[s]:ends[s]], all of text texts[s]."""

    starts: np.ndarray  # (S,) int64
    ends: np.ndarray  # (S,) int64
    texts: np.ndarray  # (S,) int64
    hashes: np.ndarray  # (S,) uint64

    @property
    def lengths(self) -> np.ndarray:
        """Characters in each span (S,)."""
        return self.ends - self.starts


def in_batches(texts: Sequence[str]) -> Iterator[tuple[int, Batch]]:
    """Batches of some half a million characters, each with the index of its first text."""
    first, size = 0, 0
    for index, text in enumerate(texts):
        size += len(text) + 1
        if size >= BATCH_CHARACTERS:
            yield first, make_batch(texts[first : index + 1])
            first, size = index + 1, 0
    if first < len(texts):
        yield first, make_batch(texts[first:])


def make_batch(texts: Sequence[str]) -> Batch:
    """Turn texts into arrays."""
    joined = "".join(f"{text}\n" for text in texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 1) - 1
    codes = _point_codes()[points] * _powers(len(points) + 1)[0][: len(points)]
    prefix = np.zeros(len(points) + 1, np.uint64)
    np.cumsum(codes, out=prefix[1:])
    return Batch(points, _point_kinds()[points], ends - lengths, ends, prefix)


def words(batch: Batch) -> Spans:
    """The words of a batch: runs of letters, digits, marks and underscores; no punctuation.

    An apostrophe between letters belongs to its word. Where a script has no spaces, each
    character is a word.
    """
    inside = (batch.kinds & WORD) != 0
    letters = (batch.kinds & LETTER) != 0
    joins = np.flatnonzero(batch.kinds & APOSTROPHE)
    joins = joins[(joins > 0) & (joins + 1 < len(letters))]
    inside[joins[letters[joins - 1] & letters[joins + 1]]] = True
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    alone = (batch.kinds & ALONE) != 0
    if alone.any():
        begins |= alone
        begins[1:] |= inside[1:] & alone[:-1]
    starts = np.flatnonzero(begins)
    # A word ends where the next one begins or where the run of word characters ends.
    stops = np.flatnonzero(inside[:-1] & (~inside[1:] | begins[1:])) + 1
    return Spans(starts, stops, batch.text_of(starts), batch.hashes(starts, stops))


def lines(batch: Batch) -> tuple[Spans, np.ndarray]:
    """The lines of a batch without surrounding white space, blank ones left out.

    Also returns, for each, whether a paragraph begins there (a blank line stands before it, or
    nothing): (S,) bool.
    """
    stops = np.flatnonzero(batch.points == 10)
    begins = np.concatenate([[0], stops[:-1] + 1])
    solid = np.flatnonzero((batch.kinds & SPACE) == 0)
    first = np.searchsorted(solid, begins)
    after = np.searchsorted(solid, stops)
    kept = np.flatnonzero(after > first)
    starts, ends = solid[first[kept]], solid[after[kept] - 1] + 1
    texts = batch.text_of(starts)
    opens = np.ones(len(kept), bool)
    opens[1:] = (np.diff(kept) > 1) | (np.diff(texts) > 0)
    return Spans(starts, ends, texts, batch.hashes(starts, ends)), opens


def n_grams(spans: Spans, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of every n consecutive words inside one text, and each one's first word.

    Returns (hashes (G,) uint64, positions (G,) int64 into the spans).
    """
    count = max(0, len(spans.hashes) - n + 1)
    keys = np.zeros(count, np.uint64)
    for offset in range(n):
        keys *= np.uint64(_BASE)
        keys += spans.hashes[offset : offset + count]
    whole = np.flatnonzero(spans.texts[:count] == spans.texts[n - 1 : n - 1 + count])
    return mix(keys[whole]), whole


def mix(values: np.ndarray) -> np.ndarray:
    """Spread 64-bit values evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = np.array(values, np.uint64)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def word_hashes(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """A 64-bit hash of each word of each text, case and punctuation ignored.

    Returns (hashes (W,) uint64, offsets (D + 1,) int64): text d has hashes[offsets[d]:offsets[d + 1]].
    Words are runs of letters, digits, marks and underscores, apostrophes inside a word included.
    Where a script has no spaces, each Han and hiragana character, each run of katakana and each
    Thai, Lao, Khmer or Myanmar letter with its vowels and tones is a word. Frees the GIL.
    """
    from llm.corpus import kernels  # importing numba takes half a second: only where it is needed

    data, offsets = text_bytes(texts)
    hashes, starts = kernels.hash_words(data, offsets, classes(), folded())
    return hashes, starts


def text_bytes(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of an array and where each text begins in them, without a copy.

    Returns (bytes uint8, offsets (D + 1,) int64), both read-only.
    """
    if texts.type != pa.large_string():
        texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = texts.fill_null("")
    _, places, values = texts.buffers()
    data = np.frombuffer(values if values is not None and values.size else b"\0", np.uint8)
    offsets = np.zeros(1, np.int64)
    if len(texts):
        offsets = np.frombuffer(places, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    for array in (data, offsets):
        array.flags.writeable = False
    return data, offsets


@lru_cache(maxsize=1)
def _point_codes() -> np.ndarray:
    """A random-looking 64-bit number for each code point (1114112,)."""
    return mix(np.arange(1, sys.maxunicode + 2, dtype=np.uint64) * np.uint64(_BASE))


@lru_cache(maxsize=1)
def _point_kinds() -> np.ndarray:
    """The kind of each code point (1114112,) uint8."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    bits = {"L": WORD | LETTER, "N": WORD, "M": WORD}
    for point in range(_LAST_LETTER + 1):
        character = chr(point)
        category = unicodedata.category(character)
        kinds[point] = bits.get(category[0], SPACE if character.isspace() else 0)
    for first, last in _UNSPACED:
        block = kinds[first : last + 1]
        block[(block & LETTER) != 0] |= ALONE
    kinds[ord("_")] = WORD
    kinds[[ord("'"), 0x2019]] = APOSTROPHE
    return kinds


_grown: list[tuple[np.ndarray, np.ndarray]] = []


def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """At least `count` powers of the hash's base modulo 2^64, and of its inverse."""
    if not _grown or len(_grown[0][0]) < count:
        size = max(count, 2 * BATCH_CHARACTERS)
        up, down = (
            np.full(size, _BASE, np.uint64),
            np.full(size, pow(_BASE, -1, 1 << 64), np.uint64),
        )
        up[0] = down[0] = 1
        _grown[:] = [(np.cumprod(up, dtype=np.uint64), np.cumprod(down, dtype=np.uint64))]
    return _grown[0]
