"""What became of each example that was packed: an entry for each, in the order in which they were packed.

An array of three rows, a column an entry: which example of the shard it was made of (from 0), how many
tokens it had, and how many of them stand in the rows (0: it was left out). So every token that came in
is accounted for, and whatever was dropped has a file and a line.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llm.durable import replacing

LIBRARIES = ("numpy",)

FILE = "ledger.npy"
Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Ledger:
    """The entries as they are made. `write` puts them into a split's folder."""

    entries: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, origin: int | None, given: int, kept: int) -> None:
        """Note an entry. origin: the example's number in its shard; None: that of the entry."""
        self.entries.append((len(self.entries) if origin is None else origin, given, kept))

    def write(self, folder: Path) -> None:
        """Write the file, durably."""
        with replacing(folder / FILE) as aside, aside.open("wb") as stream:
            np.save(stream, np.array(self.entries, np.int64).reshape(-1, 3).T)


@dataclass(frozen=True)
class Entries:
    """A ledger that was written. origin, given, kept: (N,)."""

    origin: Array
    given: Array
    kept: Array

    @classmethod
    def read(cls, folder: Path) -> "Entries":
        """That of a split's folder."""
        return cls(*np.load(folder / FILE))

    @property
    def written(self) -> Array:
        """The entries that stand in the rows, in the order of the rows' examples."""
        return np.flatnonzero(self.kept)
