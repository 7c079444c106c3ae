"""Shingles, MinHash bands and Jaccard similarity: which texts are worth comparing, and how alike.

A shingle is a word n-gram, kept as a 32-bit hash. Of n shingles of one text, n / 2^32 are expected
to meet a foreign one of another text by chance, and the similarity is off by no more than that: a
millionth for a page of some thousand words, two in a thousand for ten million.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from llm.corpus.text.words import mix, word_hashes

_STEP = np.uint64(0x9E3779B97F4A7C15)


def shingle_sets(texts: pa.LargeStringArray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The set of word n-grams of each text, as sorted 32-bit hashes without repeats.

    Returns (flat (S,) uint32, bounds (D + 1,) int64): text d has flat[bounds[d]:bounds[d + 1]].
    Words are those of `words.word_hashes`: case and punctuation ignored, split as the script needs.
    A text of fewer than n words is one shingle; one without words has none.
    """
    from llm.corpus.near import kernels  # numba takes half a second to import

    hashes, offsets = word_hashes(texts)
    return kernels.shingle_sets(np.ascontiguousarray(hashes, np.uint64), offsets, n)


def shingles(texts: Sequence[str], n: int) -> list[np.ndarray]:
    """`shingle_sets` of a few texts, one array each."""
    flat, bounds = shingle_sets(pa.array(texts, pa.large_string()), n)
    return [flat[bounds[at] : bounds[at + 1]] for at in range(len(texts))]


def jaccard(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Similarity of two sets given as sorted uint32 arrays without repeats: |a ∩ b| / |a ∪ b|.

    Where it is below `least` it may come out as 0; that of two empty sets is 0.
    """
    from llm.corpus.near import kernels

    return float(kernels.jaccard(a, b, float(least)))


def band_keys(flat: np.ndarray, bounds: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """A key for each set and band: (D, bands) uint64. Alike sets are likely to share one.

    Two sets of similarity s share at least one key with probability 1 - (1 - s^rows)^bands
    (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3). Each row is the least
    value of factor * x + shift modulo 2^32 over a set's x. An odd factor makes that a permutation,
    and as the x are hashes, each x of two sets' union is equally likely to come out least: the two
    agree in a row with probability s exactly. Keys of empty sets mean nothing.
    """
    from llm.corpus.near import kernels

    factors, shifts = _permutations(bands * rows)
    return kernels.band_keys(flat, bounds, factors, shifts, bands, rows)


def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (odd) and shifts of `count` fixed permutations of the 32-bit numbers."""
    numbers = mix(np.arange(1, count + 1, dtype=np.uint64) * _STEP)
    factors = (numbers >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return factors, numbers.astype(np.uint32)
