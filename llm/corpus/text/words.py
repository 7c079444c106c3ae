"""The words of many texts as hashes, read from Arrow columns without making a Python string."""

import numpy as np
import pyarrow as pa

from llm.corpus.text.characters import classes, folded

LIBRARIES = ("numpy", "python")


def word_hashes(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """A 64-bit hash of each word of each text, case and punctuation ignored.

    Returns (hashes (W,) uint64, offsets (D + 1,) int64): text d has hashes[offsets[d]:offsets[d + 1]].
    Words are runs of letters, digits, marks and underscores, apostrophes inside a word included.
    Where a script has no spaces, each Han and hiragana character, each run of katakana and each
    Thai, Lao, Khmer or Myanmar letter with its vowels and tones is a word. Frees the GIL.
    """
    from llm.corpus.text import (
        kernels,  # importing numba takes half a second: only where it is needed
    )

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


def mix(values: np.ndarray) -> np.ndarray:
    """Spread 64-bit values evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = np.array(values, np.uint64)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
