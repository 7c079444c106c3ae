"""The place of each run among all: a counter that every new run raises, whatever clocks say."""

from collections.abc import Callable
from pathlib import Path

from llm import durable
from llm.store.backend import Backend
from llm.store.locks import Lock

FOLDER = "run-count"
KEPT = 1000
"""Places whose files stay: a machine that slept since fewer runs finds its place taken."""


class Order:
    """A counter in a file, under a lock. known: the highest place that any record has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def last(self, known: Callable[[], int]) -> int:
        """The place of the newest run; 0 before the first."""
        try:
            return int((self.folder / FOLDER).read_text())
        except (OSError, ValueError):
            return known()

    def next(self, known: Callable[[], int]) -> int:
        """A place that no run has had."""
        with Lock(self.folder / "run-count.lock").exclusive():
            place = self.last(known) + 1
            durable.write_bytes(self.folder / FOLDER, str(place).encode())
            return place


class SharedOrder(Order):
    """A counter on an object store: a file for each place, created where there is none."""

    def __init__(self, place: Backend) -> None:
        self.place = place

    def last(self, known: Callable[[], int]) -> int:
        taken = [int(name) for name in self.place.sizes(FOLDER) if name.isdigit()]
        return max(taken, default=0) or known()

    def next(self, known: Callable[[], int]) -> int:
        while True:
            place = self.last(known) + 1
            if self.place.create(b"", FOLDER, f"{place:012d}"):
                self.place.remove_file(FOLDER, f"{place - KEPT:012d}")
                return place
