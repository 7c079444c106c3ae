"""Which suites and baselines there are, and what they say of themselves.

For the recipe and the stages' wiring alone: no step reaches it, so a new line in `llm.registry` measures
nothing again.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from llm.evaluation.suite import BASE, Baseline, Subject, Suite
from llm.parts import load, registry
from llm.step import BadInput
from llm.training.finetune import start
from llm.training.finetune.task import task_of

if TYPE_CHECKING:
    from llm.recipe import Recipe
    from llm.training.finetune.settings import FinetuneSettings

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


def subjects(recipe: "Recipe") -> dict[str, Subject]:
    """What suites are told of each model of a recipe, by its name: base, then the tasks'."""
    tuned = {task.name: (task, task_of(task.task)) for task in recipe.finetune}
    return {
        BASE: Subject(recipe.pretrain.model.architecture),
        **{
            name: Subject(_architecture(recipe, values), task.writes, tuple(task.columns(values)))
            for name, (values, task) in tuned.items()
        },
    }


def _architecture(recipe: "Recipe", values: "FinetuneSettings") -> str:
    """Of a task's model; a folder that cannot be read is told elsewhere."""
    root = start.root_of(recipe.finetune, values)
    if root is not None:
        with suppress(BadInput, OSError):
            return start.read(root).config.architecture
    return recipe.pretrain.model.architecture
