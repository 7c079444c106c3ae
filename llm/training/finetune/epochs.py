"""Which rows a step reads: each epoch all of them, in an order of its own."""

import json
from pathlib import Path

import numpy as np

from llm.tokens.order import in_epochs
from llm.training.batch import Batch, Integers
from llm.training.finetune.task import Rows


class Epochs:
    """The training loop's source of rows."""

    def __init__(self, rows: Rows, rows_per_step: int, seed: int) -> None:
        self.rows, self.rows_per_step, self.seed = rows, rows_per_step, seed

    def part(self, step: int, part: int, parts: int) -> Batch:
        """Share part of parts of a step's rows."""
        first, last = (number * self.rows_per_step // parts for number in (part, part + 1))
        return self.rows.read(self.rows_of(step)[first:last])

    def seen(self, step: int) -> list[int]:
        """The numbers of the rows that the step reads."""
        return [int(row) for row in self.rows_of(step)]

    def rows_of(self, step: int) -> Integers:
        """Which rows a step reads, (rows_per_step,): it may run on into the next epoch."""
        places = np.arange(step * self.rows_per_step, (step + 1) * self.rows_per_step)
        return in_epochs(places, len(self.rows), self.seed)


def check_seen(path: Path, rows: int, steps: int) -> None:
    """Raise RuntimeError where the log of what `steps` steps read repeats or skips any of `rows` rows.

    Each row is read once an epoch, so that no row can be ahead of another by more than one. An interrupted
    run that went on at the wrong place shows here.
    """
    counts = np.zeros(rows, np.int64)
    made = 0
    with path.open() as log:
        for line in log:
            told = json.loads(line)
            made += 1
            if told["step"] != made:
                raise RuntimeError(
                    f"{path.name} has step {told['step']} where step {made} was to come: the run went on at "
                    "the wrong place"
                )
            np.add.at(counts, told["windows"], 1)
    if made != steps:
        raise RuntimeError(f"{path.name} has {made} steps, and {steps} were made")
    if int(counts.max() - counts.min()) > 1:
        raise RuntimeError(
            f"row {int(counts.argmax())} was read {int(counts.max())} times and row {int(counts.argmin())} "
            f"{int(counts.min())} times in {steps} steps: rows were repeated or skipped"
        )
