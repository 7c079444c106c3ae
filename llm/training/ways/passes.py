"""Forward and backward passes of a step on a device, and rows that are read before they are needed.

Every rank makes as many passes as the one with most to do, for their collectives are met in step: a
rank that has fewer micro-batches repeats its last with a weight of zero.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from llm.training.batch import Batch, BatchSource, Tensors
from llm.training.run import TrainingRun
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class Part:
    """One part's rows in the processor's memory, tensors by name; learned: how much of each, (B,)."""

    number: int
    tensors: Tensors
    learned: Sequence[float]

    @classmethod
    def of(cls, number: int, rows: Batch, pinned: bool) -> "Part":
        """From numpy arrays; pinned: in memory that a GPU copies from by itself."""
        tensors = rows.tensors(slice(None), torch.device("cpu"))
        if pinned:
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return cls(number, tensors, rows.learned.tolist())

    def cuts(self, micro_batch: int) -> list[slice]:
        """As few micro-batches as can be, of one size if they can: each size is compiled again."""
        rows = len(self.learned)
        size = -(-rows // -(-rows // micro_batch))
        return [slice(first, first + size) for first in range(0, rows, size)]


class Passes:
    """This rank's passes of each step; a step's rows are read in a thread during the one before it.

    A BatchSource is a pure function of the step, so rows that were read in vain, when a run goes
    back, cost time alone.
    """

    def __init__(self, source: BatchSource, run: TrainingRun) -> None:
        self.source, self.run = source, run
        self.numbers = range(run.group.rank, run.plan.parts, run.group.size)
        if not self.numbers:
            raise ValueError(
                f"{run.group.size} processes cannot share {run.plan.parts} parts: raise data_parallel, "
                "or lower the machine's processes"
            )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._next: tuple[int, Future[tuple[list[Part], Any]]] | None = None
        self._seen: Any = None

    def make(self, done: int, reads: int) -> bool:
        """The gradient of step `done` (from 0), which reads the source's step `reads`.

        False when a rank is asked to stop. Out of memory, again with half the micro-batch, or in a
        group StartAgain; RuntimeError when there is no memory for a single row.
        """
        run = self.run
        assert isinstance(run.state, Accelerated)
        following = run.incidents.data_step(done + 1) if done + 1 < run.plan.steps else None
        parts, self._seen = self._read_ahead(reads, following)
        while True:
            seed = run.plan.seed + done * run.plan.parts
            try:
                return make_gradient(run.state, parts, run.micro_batch, seed, run.group.stopping)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error)
            # Here: the error held on to what it had allocated.
            run.halve_together(done, max(len(part.learned) for part in parts), reason)

    def seen(self, step: int) -> Any:
        """What the step that was made last reads, for seen.jsonl."""
        return self._seen

    def _read_ahead(self, step: int, following: int | None) -> tuple[list[Part], Any]:
        coming, self._next = self._next, None
        if coming is None or coming[0] != step:
            coming = (step, self._thread.submit(self._read, step))
        found = coming[1].result()
        if following is not None:
            self._next = (following, self._thread.submit(self._read, following))
        return found

    def _read(self, step: int) -> tuple[list[Part], Any]:
        pinned = self.run.device.type == "cuda"
        parts = [
            Part.of(number, self.source.part(step, number, self.run.plan.parts), pinned)
            for number in self.numbers
        ]
        return parts, self.source.seen(step)


def make_gradient(
    state: Accelerated, parts: Sequence[Part], micro_batch: int, seed: int, stopping: bool
) -> bool:
    """All passes of a step; False, with nothing done, when a rank is asked to stop.

    seed: of part 0; part p draws from seed + p.
    """
    cuts = [(part, span) for part in parts for span in part.cuts(micro_batch)]
    stopping, passes = state.agree(stopping, len(cuts))
    if stopping:
        return False
    state.clear()
    total = torch.zeros((), dtype=torch.float64, device=state.device)
    learned, begun = 0.0, -1
    for turn in range(passes):
        part, span = cuts[min(turn, len(cuts) - 1)]
        if part.number != begun:
            begun = part.number
            torch.manual_seed(seed + begun)
            rows = {
                name: tensor.to(state.device, non_blocking=True)
                for name, tensor in part.tensors.items()
            }
        counts = sum(part.learned[span]) if turn < len(cuts) else 0.0
        if not counts and state.group.size == 1:
            continue
        with state.passing(last=turn == passes - 1):
            loss = state.loss({name: tensor[span] for name, tensor in rows.items()})
            (loss if counts else loss * 0.0).backward()
        if counts:
            total += loss.detach()
            learned += counts
    state.finish(total, learned)
    return True
