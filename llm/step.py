"""What a step is given and what it gives back.

A step is a function `step(values, inputs, context) -> StepResult`: `values` is a section of the
recipe, `inputs` maps a name to the folders of the artifacts that it reads, and everything that
decides how but not what is in the context. A step reads no clock, no environment and no global.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm.parts import unkeyed

if TYPE_CHECKING:
    from llm.machine import Machine

Inputs = Mapping[str, Sequence[Path]]


class Reporter:
    """What a step tells about itself while it runs. This one keeps silent; tasks show it.

    `progress` may be called as often as is handy: whoever shows it thins it out.
    """

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """`done` of `total` units are finished (total None: not known yet)."""

    def info(self, message: str) -> None:
        """A line for the log."""

    def warning(self, message: str) -> None:
        """A line that the user should see."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A table for the run's page. `name` is lowercase with dashes; rows share their keys."""

    def series(self, name: str, point: Mapping[str, float]) -> None:
        """One point of a curve, such as {"step": 10, "loss": 4.2}; shown as a plot while it grows."""


class PrintReporter(Reporter):
    """A reporter for notebooks and shells: messages go to standard error."""

    def info(self, message: str) -> None:
        print(message, file=sys.stderr)

    def warning(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr)


class Launch(Protocol):
    """What a step asks of `llm.training.ranks.launch`."""

    def how(self, machine: "Machine", context_length: int) -> dict[str, Any]:
        """The fields of a job that say how, not what, it trains."""

    def train(
        self,
        module: str,
        job: Mapping[str, Any],
        context: "Context",
        *,
        parts: int,
        steps: int,
        most_bytes: int = 0,
    ) -> None:
        """Train in processes of its own, until the job is done."""


@dataclass(frozen=True)
class Context:
    """Where a step works and whom it tells.

    out: an empty folder; what lies there when the step returns is the artifact.
    work: a folder that survives kill -9 and is handed to the next try of the same key.
    """

    out: Path
    work: Path
    report: Reporter = field(default_factory=Reporter)
    machine: "Machine" = field(default_factory=lambda: _usual_machine())

    @property
    def launch(self) -> "Launch":
        """What trains in processes of its own: it decides how, not what."""
        launch: Launch = unkeyed("llm.training.ranks.launch")
        return launch


def _usual_machine() -> "Machine":
    machine: Machine = unkeyed("llm.machine").Machine()
    return machine


@dataclass(frozen=True)
class StepResult:
    """What a step made, besides its files.

    counts: plain numbers (or nested mappings of them) for the manifest and the summary.
    content: hex digest over what later steps may read; None: the digest of all files' bytes.
    parts: content digest by part, where later steps read one part each (a crawl's shards).
    summary: a few words for people, such as "505 pages, 5.1 MB".
    """

    counts: Mapping[str, Any] = field(default_factory=dict)
    content: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""


StepFunction = Callable[[Any, Inputs, Context], StepResult]


class BadInput(ValueError):
    """The data or the recipe is at fault: trying again cannot help. The message says what to do."""


class WorkerLost(RuntimeError):
    """A process that a step had started was ended from outside: trying again goes on from its work folder."""


def digest_of(parts: Iterable[bytes | str]) -> str:
    """Hex digest (BLAKE2b, 32 bytes) of a sequence of strings, each with its length."""
    state = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()
