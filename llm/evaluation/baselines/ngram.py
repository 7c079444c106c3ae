"""Byte n-grams with Witten-Bell smoothing (Witten and Bell 1991, method C), counted by sorting.

    p(b | c1..ck) = (count(c1..ck b) + kinds(c1..ck) * p(b | c2..ck)) / (count(c1..ck) + kinds(c1..ck))

where kinds(c) is how many different bytes followed c, and below the empty context every byte has
probability 1/256. A context never seen leaves the shorter context's probability as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# A symbol is 0 (before the document's start) or a byte plus one: 9 bits, so that seven of them, six
# of context and the predicted one, fit in a 64-bit key.
SYMBOL_BITS = np.uint64(9)
SYMBOL_MASK = np.uint64(511)
LONGEST = 7
# Bytes counted at a time: bounds the memory for keys to some 10 times this.
CHUNK_BYTES = 16_000_000


@dataclass(frozen=True)
class _Counts:
    """What was counted for one length of context, both tables sorted by key.

    keys (U,) and counts (U,): each context with the byte that followed it, and how often.
    contexts (C,), totals (C,), kinds (C,): each context, how often it was followed by any byte,
    and by how many different ones.
    """

    keys: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray


class WittenBell:
    """A byte model of order n: each byte given the n - 1 bytes before it in its document.

    Bytes before a document's start are a symbol of their own, so the first bytes of documents
    are learned as such.
    """

    def __init__(self, order: int, documents: Iterable[bytes]) -> None:
        """Count `documents`. Raises ValueError for an impossible order or where there is no text."""
        if not 1 <= order <= LONGEST:
            raise ValueError(f"an n-gram's order is 1 to {LONGEST}, not {order}")
        self.order = order
        keys, counts = _counted(documents, order)
        if not len(keys):
            raise ValueError("an n-gram needs at least one byte of training text")
        self.counts: list[_Counts] = []
        for length in range(order - 1, -1, -1):
            self.counts.append(_by_context(keys, counts))
            # The next shorter context: its counts are sums over the symbol that is left out.
            keys, counts = _merged(keys & _mask(length), counts)
        self.counts.reverse()

    def bits(self, documents: Sequence[bytes]) -> np.ndarray:
        """-log2 p of each document, each from its own start: (N,) float64."""
        bits = np.zeros(len(documents))
        for first, last in _ranges(documents):
            chunk = documents[first:last]
            lengths = [len(document) for document in chunk]
            each = -np.log2(self._probabilities(_keys(chunk, self.order)))
            of = np.repeat(np.arange(len(chunk)), lengths)
            bits[first:last] = np.bincount(of, weights=each, minlength=len(chunk))
        return bits

    def distribution(self, before: bytes) -> np.ndarray:
        """The probability of each byte after `before`, the document's text so far: (256,)."""
        ends = [before + bytes([byte]) for byte in range(256)]
        last = np.cumsum([len(end) for end in ends]) - 1
        return self._probabilities(_keys(ends, self.order)[last])

    def _probabilities(self, keys: np.ndarray) -> np.ndarray:
        """keys (N,) of the model's order → p of each key's last symbol given the others (N,)."""
        probability = np.full(len(keys), 1 / 256)
        for length, table in enumerate(self.counts):
            short = keys & _mask(length + 1)
            count, total, kinds = (
                _look_up(table.keys, table.counts, short),
                _look_up(table.contexts, table.totals, short >> SYMBOL_BITS),
                _look_up(table.contexts, table.kinds, short >> SYMBOL_BITS),
            )
            seen = total > 0
            smoothed = (count + kinds * probability) / np.where(seen, total + kinds, 1)
            probability = np.where(seen, smoothed, probability)
        return probability


def _mask(symbols: int) -> np.uint64:
    """Keeps the last `symbols` symbols of a key."""
    return np.uint64((1 << (int(SYMBOL_BITS) * symbols)) - 1)


def _keys(documents: Sequence[bytes], order: int) -> np.ndarray:
    """Each byte of all documents with the order - 1 symbols before it, packed: (bytes,) uint64.

    The oldest symbol is in the highest bits, the byte itself in the lowest.
    """
    padding = order - 1
    pad = bytes(padding)
    joined = np.frombuffer(b"".join(pad + document for document in documents), np.uint8)
    symbols = joined.astype(np.uint64) + np.uint64(1)
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    starts = np.cumsum(lengths + padding) - lengths - padding
    real = np.ones(len(symbols), dtype=bool)
    for offset in range(padding):
        symbols[starts + offset] = 0
        real[starts + offset] = False
    keys = np.zeros(len(symbols), dtype=np.uint64)
    for back in range(padding, -1, -1):
        keys <<= SYMBOL_BITS
        keys[back:] |= symbols[: len(symbols) - back]
    return keys[real]


def _counted(documents: Iterable[bytes], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Each key of all documents, sorted, and how often it is there.

    Holds what is counted so far and as much again that waits to be added, never the documents.
    """
    keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def added() -> tuple[np.ndarray, np.ndarray]:
        parts = [(keys, counts), *waiting]
        return _merged(
            np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
        )

    for chunk in _chunks(documents):
        waiting.append(np.unique(_keys(chunk, order), return_counts=True))
        if sum(len(part[0]) for part in waiting) > len(keys):
            keys, counts = added()
            waiting.clear()
    return added() if waiting else (keys, counts)


def _chunks(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Documents in lists of about CHUNK_BYTES; lists without a byte are left out."""
    chunk: list[bytes] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += len(document)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if size:
        yield chunk


def _ranges(documents: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Positions (first, last + 1) of runs of documents of about CHUNK_BYTES."""
    first = 0
    while first < len(documents):
        last, size = first, 0
        while last < len(documents) and size < CHUNK_BYTES:
            size += len(documents[last])
            last += 1
        yield first, last
        first = last


def _merged(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort by key and add up the counts of equal keys."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first)


def _by_context(keys: np.ndarray, counts: np.ndarray) -> _Counts:
    contexts = keys >> SYMBOL_BITS
    first = np.flatnonzero(np.concatenate([[True], contexts[1:] != contexts[:-1]]))
    kinds = np.diff(np.append(first, len(keys)))
    return _Counts(keys, counts, contexts[first], np.add.reduceat(counts, first), kinds)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 where `keys` (sorted) lacks it."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
