"""How unlike a text is to texts that are known to be good, by a small n-gram model (as CCNet does).

The model is of bytes, with Witten-Bell smoothing (Witten and Bell 1991, method C):

    p(b | c1..ck) = (count(c1..ck b) + kinds(c1..ck) * p(b | c2..ck)) / (count(c1..ck) + kinds(c1..ck))

where count(c) is how often a byte followed c, kinds(c) how many different ones did, and below the
empty context every byte has probability 1/256. A context that was never followed leaves the shorter
one's probability as it is. The first bytes of a text have as much context as there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from llm.corpus.text.words import text_bytes
from llm.durable import replacing
from llm.step import BadInput

LIBRARIES = ("numpy",)

ORDER = 5
# A key holds seven bytes.
LONGEST = 7
# Bytes that are counted at a time, and of a text without a cut in it: the table must have room.
CHUNK_BYTES, PIECE_BYTES = 1 << 20, 1 << 16

_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadZipFile)


def train(texts: Iterable[str], path: Path | str, order: int = ORDER) -> None:
    """Count the byte n-grams, n up to `order`, of good texts into a model file (.npz) at `path`.

    Takes some 24 bytes of memory for each different n-gram: 10 MB of prose have about two million.
    Raises ValueError for an impossible order or where there is no text.
    """
    from llm.corpus.text import ngrams  # importing numba takes half a second

    if not 1 <= order <= LONGEST:
        raise ValueError(f"an n-gram's order is 1 to {LONGEST}, not {order}")
    keys, counts, used = np.zeros(1 << 16, np.uint64), np.zeros(1 << 16, np.int64), 0
    for chunk in _chunks(texts):
        data, offsets = text_bytes(chunk)
        first = 0
        while first < len(chunk):
            first, used = ngrams.count_grams(data, offsets, order, first, keys, counts, used)
            if first < len(chunk):
                keys, counts = _table(keys[keys != 0], counts[keys != 0], 2 * len(keys))
    if not used:
        raise ValueError("a model needs at least one byte of good text to be trained on")
    by_key = np.argsort(keys)[len(keys) - used :]
    with replacing(Path(path)) as aside, aside.open("wb") as file:
        np.savez(file, order=np.int64(order), keys=keys[by_key], counts=counts[by_key])


def perplexities(texts: Sequence[str] | pa.Array, path: str) -> np.ndarray:
    """2 to the bits that a byte of each text takes under the model (D,), NaN where there are none.

    Between 1 and 256 for most texts; a model's own kind of prose has the lowest. Frees the GIL.
    Raises BadInput where the file is not a model that `train` wrote.
    """
    from llm.corpus.text import ngrams

    column = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    model = _model(path, _changed(path))
    found: np.ndarray = np.exp2(ngrams.bits_per_byte(*text_bytes(column), *model))
    return found


def _chunks(texts: Iterable[str]) -> Iterator[pa.Array]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        data = text.encode("utf-8", "replace")
        for start in range(0, len(data), PIECE_BYTES):
            chunk.append(data[start : start + PIECE_BYTES])
            size += len(chunk[-1])
            if size >= CHUNK_BYTES:
                yield pa.array(chunk, pa.large_binary()).view(pa.large_string())
                chunk, size = [], 0
    if chunk:
        yield pa.array(chunk, pa.large_binary()).view(pa.large_string())


def _table(found: np.ndarray, numbers: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """N-grams and their counts as a hash table of `size` places."""
    from llm.corpus.text import ngrams

    keys, counts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    ngrams.insert(found, numbers, keys, counts)
    return keys, counts


def _changed(path: str) -> int:
    return Path(path).stat().st_mtime_ns if Path(path).exists() else 0


@lru_cache(maxsize=2)
def _model(path: str, changed: int) -> tuple[Any, ...]:
    """What the compiled pass takes after the texts. changed: when the file was (nanoseconds)."""
    from llm.corpus.text import ngrams

    try:
        with np.load(path, allow_pickle=False) as file:
            order, found, numbers = int(file["order"]), file["keys"], file["counts"]
    except _UNREADABLE as error:
        raise BadInput(
            f"{path} is not an n-gram model ({error}): make one with llm.corpus.text.perplexity.train"
        ) from error
    if (
        found.dtype != np.uint64 or numbers.dtype != np.int64 or found.shape != numbers.shape
    ) or not (found.ndim == 1 and len(found) and 1 <= order <= LONGEST):
        raise BadInput(
            f"{path} is not an n-gram model (its arrays are not those of one): make one with "
            "llm.corpus.text.perplexity.train"
        )
    size = 1 << (2 * len(found)).bit_length()
    keys, counts = _table(found, numbers, size)
    totals, kinds = np.zeros(size, np.int64), np.zeros(size, np.int64)
    total, different = ngrams.sum_contexts(keys, counts, totals, kinds)
    return order, keys, counts, totals, kinds, total, different
