"""What a kind of fine-tuning is: one object a kind, in a file of its own that `llm.registry` names.

A new task is that file and a line in the registry. It has a section of the recipe (its `task` is the
name in the registry) and an object with the methods of `Task`. Recipes read both, so the file imports
torch, numpy and pyarrow in the methods that need them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm.examples.settings import Column
from llm.parts import load
from llm.step import Reporter
from llm.training.finetune.settings import FinetuneSettings

if TYPE_CHECKING:
    import torch

    from llm.training.batch import Batch, Integers, Objective


@dataclass(frozen=True)
class Base:
    """The model that a task starts from. folder: its model folder; context_length: its positions."""

    folder: Path
    context_length: int

    @property
    def tokenizer(self) -> Path:
        """Its tokenizer."""
        return self.folder / "tokenizer.json"


class Rows(Protocol):
    """The rows of a split, mapped from the files that `Task.prepare` wrote."""

    def __len__(self) -> int:
        """How many rows there are."""

    def read(self, numbers: "Integers") -> "Batch":
        """The rows of these numbers, in this order."""


class Task(Protocol):
    """What the step asks of a task. values: its section of the recipe."""

    settings: type[FinetuneSettings]
    """The section of the recipe, in which `task` is a Literal of the task's name."""

    architectures: Sequence[str]
    """What it can start from, as `pretrain.model.architecture` calls them."""

    reserves: Sequence[str]
    """The groups of special tokens that it needs, as `tokenizer.reserve` calls them."""

    def columns(self, values: Any) -> Sequence[Column]:
        """What its examples have."""

    def prepare(
        self, values: Any, split: str, shard: Path, base: Base, files: Path, report: Reporter
    ) -> Mapping[str, int]:
        """Encode a split's examples into rows, in the empty folder `files`.

        What was made of how many, for the manifest: `examples` and `rows` among them. The same
        examples give the same bytes. Raises BadInput naming file and line.
        """

    def rows(self, values: Any, files: Path, base: Base) -> Rows:
        """The rows that `prepare` wrote."""

    def model(
        self, values: Any, base: Base, device: "torch.device", compute_type: "torch.dtype"
    ) -> Any:
        """The model to train, on the device: base, with the head of the task."""

    def objective(self, values: Any) -> "Objective":
        """What is asked of it."""

    def measure(self, values: Any, model: Any, rows: Rows) -> Mapping[str, float | None]:
        """Figures on held-out rows, `loss` among them; null where nothing is held out."""

    def save(self, values: Any, model: Any, folder: Path, base: Base) -> None:
        """Write the model folder, with what it says for serving."""


def task_of(name: str) -> Task:
    """The task of a name. Raises LookupError in a step whose call has not chosen it."""
    found: Task = load("task", name)()
    return found
