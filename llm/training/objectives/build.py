"""From the recipe's objective to the object that makes its batches and its loss."""

from typing import ClassVar, Protocol, cast

from tokenizers import Tokenizer

from llm.parts import load
from llm.step import BadInput
from llm.training.batch import BatchSource, Objective
from llm.training.objectives.settings import ObjectiveSettings


class Pretraining(Objective, Protocol):
    """An objective that makes its own batches from plain windows of text."""

    marks: ClassVar[tuple[str, ...]]

    def batches(self, source: BatchSource, rows: int) -> BatchSource:
        """Batches from those of `source`, whose steps have `rows` rows for the next token.

        A pure function of (seed, step, row).
        """


def build(settings: ObjectiveSettings, seed: int, tokenizer: Tokenizer) -> Pretraining:
    """The objective. Raises BadInput when the tokenizer lacks what it needs."""
    kind = load("objective", settings.type)
    try:
        return cast(Pretraining, kind.of(settings, tokenizer, seed))
    except ValueError as error:
        raise BadInput(f"pretrain.objective.type {settings.type}: {error}") from error
