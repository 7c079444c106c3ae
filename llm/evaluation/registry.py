"""Which suites and baselines there are, and what they say of themselves.

For the recipe and the stages' wiring alone: no step reaches it, so a new line in `llm.registry` measures
nothing again.
"""

from typing import TYPE_CHECKING

from llm.evaluation.suite import BASE, Baseline, Subject, Suite
from llm.parts import load, registry
from llm.training.finetune.task import task_of

if TYPE_CHECKING:
    from llm.recipe import Recipe

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
    architecture = recipe.pretrain.model.architecture
    tuned = {task.name: (task, task_of(task.task)) for task in recipe.finetune}
    return {
        BASE: Subject(architecture),
        **{
            name: Subject(architecture, task.writes, tuple(task.columns(values)))
            for name, (values, task) in tuned.items()
        },
    }
