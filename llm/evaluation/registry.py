"""Which suites and baselines there are, and what they say of themselves.

For the recipe and the stages' wiring alone: no step reaches it, so a new line in `llm.registry` measures
nothing again.
"""

from collections.abc import Iterable

from llm.evaluation.suite import Baseline, Suite
from llm.examples.settings import Column
from llm.parts import load, registry
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import task_of

SUITES = registry("suite")
BASELINES = registry("baseline")


def suite(name: str) -> Suite:
    """What a suite says of itself."""
    found: Suite = load("suite", name).SUITE
    return found


def baseline(name: str) -> Baseline:
    """What a baseline says of itself."""
    found: Baseline = load("baseline", name).BASELINE
    return found


def examples(tasks: Iterable[FinetuneSettings]) -> dict[str, tuple[Column, ...]]:
    """What each task of a recipe learns from, by the task's name."""
    return {task.name: tuple(task_of(task.task).columns(task)) for task in tasks}
