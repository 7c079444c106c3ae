"""Rows that cannot be read: left out and listed where they are few, a reason to stop where they are many."""

import json

from llm.step import BadInput, Context
from llm.words import counted

FILE = "bad-rows.jsonl"
FEWEST = 20  # bad rows with no good one among them end the reading
SHOWN = 3


class BadRows:
    """Counts rows as they are read. share: of bad ones, the most that is left out."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.good = 0
        self.found: list[dict[str, str | int]] = []

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.found)

    def add(self, file: str, unit: str, number: int, said: str) -> None:
        """Take a bad row in. Raises BadInput naming it where none is allowed, or there is nothing else."""
        self.found.append({"file": file, "unit": unit, "number": number, "said": said})
        if not self.share or (not self.good and self.count == FEWEST):
            raise BadInput(self._first())

    def check(self) -> None:
        """Raise BadInput naming the first where there are more than the share allows."""
        read = self.good + self.count
        if self.count > self.share * read:
            raise BadInput(
                f"{self._first()} ({self.count:,} of {counted(read, 'row')} are bad, more than bad_rows "
                f"{self.share:g} allows)"
            )

    def tell(self, context: Context) -> None:
        """List them in the artifact, and show the first."""
        if not self.found:
            return
        lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in self.found)
        (context.out / FILE).write_text("".join(lines), encoding="utf8")
        shown = "; ".join(_told(one) for one in self.found[:SHOWN])
        more = f" (all are in {FILE})" if self.count > SHOWN else ""
        context.report.warning(f"{counted(self.count, 'bad row')} left out: {shown}{more}")

    def _first(self) -> str:
        return _told(self.found[0])


def _told(one: dict[str, str | int]) -> str:
    return f"{one['file']}, {one['unit']} {one['number']}: {one['said']}"
