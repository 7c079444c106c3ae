"""Shingles, MinHash bands and Jaccard similarity: which texts are worth comparing, and how alike."""

from collections.abc import Sequence

import numpy as np

from llm.corpus.words import in_batches, mix, n_grams, words

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def shingles(texts: Sequence[str], n: int) -> list[np.ndarray]:
    """The set of word n-grams of each text, as sorted 64-bit hashes; case and punctuation ignored.

    A text of fewer than n words is one shingle; one without words has none.
    """
    lowered = [text.lower() for text in texts]
    result: list[np.ndarray] = []
    for _, batch in in_batches(lowered):
        found = words(batch)
        hashes, positions = n_grams(found, n)
        number = len(batch.starts)
        bounds = np.searchsorted(found.texts[positions], np.arange(number + 1))
        word_bounds = np.searchsorted(found.texts, np.arange(number + 1))
        for text in range(number):
            grams = hashes[bounds[text] : bounds[text + 1]]
            if not len(grams):
                grams = _short(found.hashes[word_bounds[text] : word_bounds[text + 1]])
            result.append(np.unique(grams))
    return result


def _short(hashes: np.ndarray) -> np.ndarray:
    """All the words of a short text as one shingle (or none at all)."""
    if not len(hashes):
        return np.zeros(0, np.uint64)
    key = len(hashes)
    for value in hashes.tolist():
        key = (key * _STEP + value) & _MASK
    return mix(np.array([key], np.uint64))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two sets given as sorted arrays without repeats: |a ∩ b| / |a ∪ b|."""
    if not len(a) or not len(b):
        return 0.0
    both = np.concatenate([a, b])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def band_keys(sets: Sequence[np.ndarray], bands: int, rows: int) -> np.ndarray:
    """A key for each set and band: (D, bands) uint64. Alike sets are likely to share one.

    Two sets of similarity s share at least one key with probability 1 - (1 - s^rows)^bands
    (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3). Sets must not be empty.
    """
    factors, offsets = _permutations(bands * rows)
    lengths = np.fromiter(map(len, sets), np.int64, len(sets))
    keys = np.zeros((len(sets), bands), np.uint64)
    for first, last in _blocks(lengths):
        flat = np.concatenate(sets[first:last])
        begins = np.cumsum(lengths[first:last]) - lengths[first:last]
        permuted = np.empty_like(flat)
        for band in range(bands):
            key = keys[first:last, band]
            for row in range(band * rows, (band + 1) * rows):
                np.multiply(flat, factors[row], out=permuted)
                permuted += offsets[row]
                key[:] = mix(key + np.minimum.reduceat(permuted, begins))
    return keys


def _blocks(lengths: np.ndarray, size: int = 1 << 15) -> list[tuple[int, int]]:
    """Ranges of sets that hold some thousand shingles together, so that they stay in the cache."""
    blocks, first, held = [], 0, 0
    for index, length in enumerate(lengths.tolist()):
        held += length
        if held >= size:
            blocks.append((first, index + 1))
            first, held = index + 1, 0
    if first < len(lengths):
        blocks.append((first, len(lengths)))
    return blocks


def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (odd) and offsets of `count` fixed permutations of the 64-bit numbers."""
    numbers = mix(np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(_STEP))
    return numbers[:count] | np.uint64(1), numbers[count:]
