"""Which rows a step reads: each epoch all of them, in an order of its own."""

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
