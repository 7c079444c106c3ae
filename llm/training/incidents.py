"""What went wrong in a run and was mended: data that was skipped, micro-batches that were halved.

A loss that is no number, or leaps, sends the run back to a checkpoint, and the data that was read
since is skipped (Chowdhery et al., PaLM, arXiv 2204.02311, section 5.1). Worked example: a checkpoint
after 4 steps, a leap in step 6 (counted from 0):

    step   0 1 2 3 4 5 6          0 1 2 3 4 5  6
    reads  0 1 2 3 4 5 6 <- leap  0 1 2 3 7 8  9

The list lies in the work folder before the run goes back, and in every checkpoint: a checkpoint fits
when it was reached by the data that is read now.
"""

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from llm.durable import write_json

INCIDENTS = "incidents.json"
WINDOW = 100  # losses that the median is taken of
FEWEST = 20  # with fewer losses no leap can be told


@dataclass(frozen=True)
class Skip:
    """`step` went wrong, the run went back to `origin` steps; data from `first` to `last` is left out."""

    step: int
    origin: int
    first: int
    last: int


@dataclass
class Incidents:
    """skips: in the order in which they happened; halved: micro-batch by the step that it began at."""

    skips: list[Skip] = field(default_factory=list)
    halved: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Incidents":
        """From JSON values."""
        skips = [Skip(**skip) for skip in values.get("skips", ())]
        return cls(skips, dict(values.get("halved", {})))

    @classmethod
    def read(cls, work: Path) -> "Incidents":
        """What lies in a work folder; nothing, if nothing happened."""
        path = work / INCIDENTS
        return cls.of(json.loads(path.read_bytes())) if path.exists() else cls()

    def write(self, work: Path) -> None:
        """Keep it in the work folder, durably."""
        write_json(work / INCIDENTS, asdict(self))

    def counts(self) -> dict[str, Any]:
        """For a manifest: steps that were skipped, micro-batches by the step they began at."""
        found: dict[str, Any] = {}
        if self.skips:
            found["skipped"] = sorted(self.left_out)
        if self.halved:
            found["micro_batch"] = dict(self.halved)
        return found

    @property
    def left_out(self) -> set[int]:
        """Steps of the batch source that nothing reads."""
        return {number for skip in self.skips for number in range(skip.first, skip.last + 1)}

    def data_step(self, step: int) -> int:
        """Which step of the batch source training step `step` reads."""
        for number in sorted(self.left_out):
            step += number <= step
        return step

    def fit(self, note: Mapping[str, Any]) -> bool:
        """Whether a checkpoint's steps read the data that they would read now."""
        then = Incidents.of(note.get("incidents", {})).skips
        later = self.skips[len(then) :]
        return then == self.skips[: len(then)] and all(
            skip.origin >= int(note["step"]) for skip in later
        )

    def skip(self, step: int, origins: Sequence[int]) -> Skip:
        """Note that `step` went wrong; origins: steps of the checkpoints that fit, newest first.

        Goes one further back when the newest has been gone back to before: it may be bad itself.
        """
        again = bool(self.skips) and self.skips[-1].origin == origins[0]
        origin = origins[min(int(again), len(origins) - 1)]
        found = Skip(step, origin, self.data_step(origin), self.data_step(step))
        self.skips.append(found)
        return found


class Watch:
    """Tells a loss that is out of bounds. factor: how far above the running median; None: any way."""

    def __init__(self, factor: float | None) -> None:
        self.factor = factor
        self.losses: deque[float] = deque(maxlen=WINDOW)

    def restart(self, metrics: Path) -> None:
        """Know the losses that a log of metrics has, and no others."""
        self.losses.clear()
        if self.factor is not None and metrics.exists():
            with metrics.open() as log:
                self.losses.extend(json.loads(line)["loss"] for line in log)

    def problem(self, loss: float, norm: float) -> str | None:
        """What is wrong with a step's loss and gradient norm; None: nothing, and it is remembered."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss}, gradient norm {norm}"
        if self.factor is not None and len(self.losses) >= FEWEST:
            usual = median(self.losses)
            if loss > self.factor * usual:
                return f"loss {loss:.4g} after a median of {usual:.4g}"
        self.losses.append(loss)
        return None
