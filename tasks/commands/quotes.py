"""Stretches of text, as numbers that tell them again wherever they stand: no text is kept.

However many there are, a file is gone through once. What is looked for is the hash of a stretch's
first and last 24 bytes, and how far they are apart.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from llm.durable import replacing

WINDOW = 24
"""Bytes of a window; a stretch has at least as many."""

LONGEST = 1024
"""Bytes of the longest stretch."""

_BASE = 0x9E3779B97F4A7C15
_FILTER_BITS = 22


class Quotes:
    """A set of stretches. rows: (N, 3) uint64, sorted: first hash, distance, last hash."""

    def __init__(self, rows: np.ndarray | None = None) -> None:
        empty = np.zeros((0, 3), np.uint64)
        self.rows = empty if rows is None else np.unique(rows, axis=0)
        self._likely = np.zeros(1 << _FILTER_BITS, bool)
        self._likely[_short(self.rows[:, 0])] = True

    @classmethod
    def of(cls, stretches: Iterable[bytes]) -> "Quotes":
        """The set of these stretches, WINDOW to LONGEST bytes each. Raises ValueError."""
        found = list(dict.fromkeys(stretches))
        if not found:
            return cls()
        lengths = np.array([len(one) for one in found])
        if lengths.min() < WINDOW or lengths.max() > LONGEST:
            raise ValueError(f"a stretch has {WINDOW} to {LONGEST} bytes: {lengths.min()}")
        hashes = _hashes(b"".join(found))
        starts = np.cumsum(lengths) - lengths
        distance = lengths - WINDOW
        rows = (hashes[starts], distance.astype(np.uint64), hashes[starts + distance])
        return cls(np.stack(rows, axis=1))

    def __len__(self) -> int:
        return len(self.rows)

    def __or__(self, other: "Quotes") -> "Quotes":
        return Quotes(np.concatenate([self.rows, other.rows]))

    def within(self, data: bytes) -> bool:
        """Whether one of the stretches stands in the bytes."""
        if not len(self) or len(data) < WINDOW:
            return False
        hashes = _hashes(data)
        places = np.flatnonzero(self._likely[_short(hashes)])
        heads = self.rows[:, 0]
        first = np.searchsorted(heads, hashes[places], "left")
        after = np.searchsorted(heads, hashes[places], "right")
        for place, start, stop in zip(places, first, after, strict=True):
            for row in self.rows[start:stop]:
                last = int(place) + int(row[1])
                if last < len(hashes) and hashes[last] == row[2]:
                    return True
        return False

    def save(self, path: Path) -> None:
        """Write the set, all or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside, aside.open("wb") as stream:
            np.save(stream, self.rows)

    @classmethod
    def load(cls, path: Path) -> "Quotes":
        """The set that `save` wrote; an empty one where there is no such file."""
        return cls(np.load(path)) if path.is_file() else cls()


def _short(hashes: np.ndarray) -> np.ndarray:
    return (hashes >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


def _hashes(data: bytes) -> np.ndarray:
    """The hash of each window: (len - WINDOW + 1,) uint64, a polynomial modulo 2**64."""
    found = np.frombuffer(data, np.uint8).astype(np.uint64) + np.uint64(1)
    widths = {1: found}
    for width in (1, 2, 4, 8):
        widths[2 * width] = _joined(widths[width], widths[width], width, width)
    return _joined(widths[16], widths[8], 16, 8)


def _joined(head: np.ndarray, tail: np.ndarray, width: int, more: int) -> np.ndarray:
    """Hashes of windows of `width + more` bytes from those of `width` and of `more` bytes."""
    factor = np.uint64(pow(_BASE, more, 1 << 64))
    tail = tail[width:]
    return head[: len(tail)] * factor + tail
