"""What a kind of fine-tuning is: one object a kind, in a file of its own that `llm.registry` names.

A new task is that file and a line in the registry. It has a section of the recipe (its `task` is the
name in the registry) and an object with the methods of `Task`. Recipes read both, so the file imports
torch, numpy and pyarrow in the methods that need them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm.examples.settings import Column, ExampleSettings
from llm.parts import load
from llm.step import Reporter
from llm.training.finetune.settings import FinetuneSettings

if TYPE_CHECKING:
    import torch

    from llm.models.config import ModelConfig
    from llm.training.batch import Batch, Integers, Objective
    from llm.training.finetune.claims import Claims


@dataclass(frozen=True)
class Base:
    """The model that a task starts from. folder: its model folder; config: its sizes and choices."""

    folder: Path
    config: "ModelConfig"

    @property
    def tokenizer(self) -> Path:
        """Its tokenizer."""
        return self.folder / "tokenizer.json"

    @property
    def context_length(self) -> int:
        """Its longest row (tokens)."""
        return self.config.context_length


@dataclass(frozen=True)
class Setup:
    """What a task is asked about.

    values: its section of the recipe. base: the model that it starts from. facts: what `Task.facts`
    found out in the training examples. reference: the artifact of `reference`, for a task that refers.
    """

    values: Any
    base: Base
    facts: Mapping[str, Any]
    reference: Path | None = None


class Rows(Protocol):
    """The rows of a split, mapped from the files that `Task.prepare` wrote."""

    @property
    def length(self) -> int:
        """Of the longest row (tokens), by which those of a step are counted."""

    def __len__(self) -> int:
        """How many rows there are."""

    def read(self, numbers: "Integers") -> "Batch":
        """The rows of these numbers, in this order."""

    def examples(self, number: int) -> Sequence[int]:
        """The examples in a row, by their numbers as they were written, from left to right."""

    def owners(self, number: int) -> "Mapping[str, Integers]":
        """Of each array of a row, which of its examples each place belongs to: 1, 2, ...; 0: none.

        From what is known of the packing, and not from what `read` gives: the two are compared.
        """


class Task(Protocol):
    """What the step asks of a task. values: its section of the recipe."""

    settings: type[FinetuneSettings]
    """The section of the recipe, in which `task` is a Literal of the task's name."""

    architectures: Sequence[str]
    """What it can start from, as `pretrain.model.architecture` calls them."""

    writes: bool
    """Whether its models write text; the head of others says labels or values."""

    chosen_by: str | None
    """The figure by which the best weights are found, of which more is better; None: by the loss alone."""

    refers: bool
    """Whether it measures its model by what the base makes of the rows, which a step of its own works out."""

    reserves: Sequence[str]
    """The groups of special tokens that it needs, as `tokenizer.reserve` calls them."""

    def columns(self, values: Any) -> Sequence[Column]:
        """What its examples have."""

    def facts(self, values: Any, shard: Path, base: Base) -> Mapping[str, Any]:
        """What training needs to know of all training examples, such as the names of labels: JSON."""

    def prepare(
        self, setup: Setup, split: str, shard: Path, files: Path, report: Reporter
    ) -> Mapping[str, int]:
        """Encode a split's examples into rows, in the empty folder `files`.

        What was made of how many, for the manifest: `examples` and `rows` among them. The same
        examples give the same bytes. Raises BadInput naming file and line.
        """

    def rows(self, setup: Setup, files: Path) -> Rows:
        """The rows that `prepare` wrote."""

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """What the rows are to be, by the examples' own text. folder: as `save` writes it."""

    def model(self, setup: Setup, device: "torch.device", compute_type: "torch.dtype") -> Any:
        """The model to train, on the device: base, with the head of the task."""

    def objective(self, setup: Setup) -> "Objective":
        """What is asked of it."""

    def finish(self, setup: Setup, model: Any, held_out: Rows) -> Mapping[str, float]:
        """What is done to the trained model before it is measured, and figures of that."""

    def measure(self, setup: Setup, model: Any, rows: Rows) -> Mapping[str, float | None]:
        """Figures on held-out rows, `loss` among them; null where nothing is held out."""

    def save(self, setup: Setup, model: Any, folder: Path) -> None:
        """Write the model folder, with what it says for serving."""


def task_of(name: str) -> Task:
    """The task of a name. Raises LookupError in a step whose call has not chosen it."""
    found: Task = load("task", name)()
    return found


def examples_of(values: FinetuneSettings) -> ExampleSettings:
    """What the step of examples is told for a task of the recipe."""
    columns = tuple(task_of(values.task).columns(values))
    return ExampleSettings(
        data=values.data,
        validation=values.validation,
        test=values.test,
        bad_rows=values.bad_rows,
        columns=tuple(
            dataclasses.replace(one, field=values.columns.get(one.name)) for one in columns
        ),
    )


def files_of(values: FinetuneSettings) -> dict[str, str]:
    """The user's files by what they are called among the inputs of the step of examples."""
    named = {"files": values.data, "validation": values.validation, "test": values.test}
    return {name: path for name, path in named.items() if path is not None}
