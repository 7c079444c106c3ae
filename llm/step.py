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
from typing import Any, Literal

from llm.settings import section, setting

Inputs = Mapping[str, Sequence[Path]]


@section
class Machine:
    """How a run uses the machine. Never part of a key: results are the same on another."""

    workers: int = setting(
        default=2, description="Processes or threads for data steps (count).", ge=1
    )
    processes: int | None = setting(
        default=None,
        description="Training processes (count); none: one per data-parallel part and core, or GPU.",
        ge=1,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        default="auto", description="Device for training and evaluation: auto, cpu or cuda."
    )
    micro_batch: int | None = setting(
        default=None,
        description="Sequences per forward pass (count); none: the trainer chooses.",
        ge=1,
    )
    parallelism: Literal["auto", "ddp", "fsdp"] = setting(
        default="auto",
        description="How several GPUs train one model: ddp, each holds all of it; fsdp, each holds a share of "
        "its parameters and of the optimizer's state; auto: ddp while those take less than a third of a GPU's memory.",
    )
    compile: bool | None = setting(
        default=None,
        description="Whether training compiles the model (true, false); none: on GPUs.",
    )
    hosts: dict[str, str] = setting(
        default=dict, description="Addresses (host:port) that stand in for host names."
    )
    memory_bytes: int = setting(
        default=2_000_000_000, description="Memory that a guarded worker may take (bytes).", gt=0
    )
    sinks: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = setting(
        default=(),
        description="Other programs that are told training's figures: tensorboard, wandb, mlflow.",
    )
    sinks_folder: str | None = setting(
        default=None,
        description="Where they keep files; none: `sinks` in the project's home.",
        path="file",
    )
    takedown: tuple[str, ...] = setting(
        default=(),
        description="Addresses and domains that are neither fetched nor kept; filled in from the "
        "takedown list.",
    )


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


@dataclass(frozen=True)
class Context:
    """Where a step works and whom it tells.

    out: an empty folder; what lies there when the step returns is the artifact.
    work: a folder that survives kill -9 and is handed to the next try of the same key.
    """

    out: Path
    work: Path
    report: Reporter = field(default_factory=Reporter)
    machine: Machine = field(default_factory=lambda: Machine())


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


Step = Callable[[Any, Inputs, Context], StepResult]


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
