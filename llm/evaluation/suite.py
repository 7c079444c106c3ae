"""What a suite and a baseline say of themselves, and what their steps are given.

A suite is one file: a module that has

    SUITE = Suite(...)
    def measure(values: Measure[Settings], inputs, context) -> StepResult
    def show(measured: Measured) -> Iterator[Section]

and a line in `llm.registry`. A baseline is one in the same way, with BASELINE and no `show`:
the suite that it stands beside shows it. The recipe imports these modules to know their settings, so
they import torch, numpy and pyarrow inside functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from llm.examples.settings import CONVERSATIONS, Column
from llm.settings import section, setting

S = TypeVar("S")

Direction = Literal["lower", "higher"]
Input = Literal["documents", "data", "tokens", "tokenizer"]


@dataclass(frozen=True)
class Kind:
    """A figure that a suite measures: its name, its unit, and which way is better."""

    name: str
    unit: str
    better: Direction


@dataclass(frozen=True)
class Subject:
    """A model that suites may measure: what it is made of, and what it was tuned for.

    writes: whether it says text; the head of another says labels or values. columns: of the examples
    that it was tuned on; none for the base model.
    """

    architecture: str
    writes: bool = True
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A suite.

    says: what it measures, for the reference of the recipe. settings: its section, `evaluate.NAME`.
    models: which models it measures, each in a call of its own.
    inputs: what a call is given besides `model`: documents (all written shards), tokens (all token
    shards), tokenizer, data (held-out examples: of every task for the base model, of its own for a tuned
    one; a model that there is no such data for is not measured). tuned_inputs: those of tuned models only.
    columns: what examples it reads; tasks that learn from others have no data for it.
    architectures: what it can measure. writes: whether it asks for text, or for what another head says.
    figures: what may be promoted by. groups: what the groups of its items are.
    """

    says: str
    settings: type
    models: Literal["base", "tuned", "each"]
    inputs: tuple[Input, ...] = ()
    tuned_inputs: tuple[Input, ...] = ()
    columns: tuple[Column, ...] = CONVERSATIONS
    architectures: tuple[str, ...] = ("decoder",)
    writes: bool = True
    figures: tuple[Kind, ...] = ()
    groups: Literal["source", "task"] | None = None

    def inputs_of(self, model: str) -> tuple[Input, ...]:
        """What a call for the model of this name is given."""
        return self.inputs if model == BASE else (*self.inputs, *self.tuned_inputs)

    def tasks_of(self, model: str, subjects: Mapping[str, Subject]) -> tuple[str, ...] | None:
        """The tasks whose data a model is measured on; None where the model is not measured.

        subjects: the models of the recipe, by name.
        """
        subject = subjects[model]
        if self.models not in ("each", "base" if model == BASE else "tuned"):
            return None
        if subject.architecture not in self.architectures or subject.writes != self.writes:
            return None
        if "data" not in self.inputs_of(model):
            return ()
        found = tuple(
            name
            for name, one in subjects.items()
            if name != BASE and model in (BASE, name) and one.columns == self.columns
        )
        return found or None


@dataclass(frozen=True)
class Baseline:
    """Simple methods that are measured on the validation text as the models are, in bits per byte.

    titles: what the report calls each of the baselines that the module measures, by name.
    settings: the section `evaluate.NAME` of those that have one. inputs: as of suites. trains: the step
    ("module:function") that makes a model from a section and the inputs; `measure` is then given `model`
    too.
    """

    titles: Mapping[str, str]
    settings: Mapping[str, type] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ("documents",)
    trains: str | None = None


BASE = "base"
"""What figures and pointers call the model that none of the tasks made."""

BITS_PER_BYTE = Kind("bits_per_byte", "bits per byte", "lower")


@section
class Measure(Generic[S]):
    """What a suite's step is given."""

    settings: S = setting(description="The suite's section of the recipe.")
    validation_fraction: float = setting(
        description="Share of documents that are held out (0 to 1).", ge=0, le=1
    )
    tasks: tuple[str, ...] = setting(
        default=(), description="Which task each of the inputs `data` is for."
    )


@section
class MeasureBaseline(Generic[S]):
    """What a baseline's step is given."""

    name: str = setting(description="Its name in the registry.")
    settings: S = setting(description="The baseline's section of the recipe; none has null.")
    validation_fraction: float = setting(
        description="Share of documents that are held out (0 to 1).", ge=0, le=1
    )
    limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
    )
    scoring: Any = setting(
        default=None,
        description="How the suite perplexity scores text, for a baseline that is trained as models are.",
    )
