"""Whether the figure that a recipe promotes by is one that its evaluation measures."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llm.evaluation import registry
from llm.evaluation.metric import Metric, chosen
from llm.evaluation.suite import BASE, Suite
from llm.recipe.messages import Problem

if TYPE_CHECKING:
    from llm.recipe import Recipe


def promotion(recipe: "Recipe") -> Iterator[Problem]:
    """What is wrong with promote.metric: its suite, its model, its figure or its group."""
    metric = chosen(recipe.promote.metric, recipe.pretrain.model.architecture)
    if metric.suite not in registry.SUITES:
        yield _problem(recipe, metric, f"there is no suite {metric.suite!r}", registry.SUITES)
        return
    if metric.suite not in recipe.evaluate.suites:
        suites = ", ".join(recipe.evaluate.suites)
        yield Problem(
            ("promote.metric", "evaluate.suites"),
            f"promote.metric is {metric}, and evaluate.suites is [{suites}]: add {metric.suite} to it, or "
            "name a figure of another suite",
        )
        return
    suite = registry.suite(metric.suite)
    measured = _models(recipe, suite)
    figures = [kind.name for kind in suite.figures]
    if not figures:
        yield _problem(recipe, metric, f"{metric.suite} has no figure to promote by", ())
    elif metric.model not in measured:
        architecture = recipe.pretrain.model.architecture
        fits = architecture in suite.architectures
        what = f"the model {metric.model!r}" if fits else f"an {architecture}"
        why = f"{metric.suite} does not measure {what}"
        yield _problem(recipe, metric, why, measured)
    elif metric.figure not in figures:
        yield _problem(recipe, metric, f"{metric.suite} has no figure {metric.figure!r}", figures)
    elif metric.group is not None:
        yield from _group(recipe, metric, suite)


def _group(recipe: "Recipe", metric: Metric, suite: Suite) -> Iterator[Problem]:
    known: Sequence[str] = ()
    if suite.groups == "source":
        known = sorted(recipe.crawl.sources)
        if not known:
            return
        why = f"there is no source {metric.group!r} in crawl.sources"
    elif suite.groups == "task":
        known = suite.tasks_of(metric.model, registry.subjects(recipe)) or ()
        why = f"{metric.model} is not measured on the task {metric.group!r}"
    else:
        why = f"{metric.suite} has no groups"
    if metric.group not in known:
        yield _problem(recipe, metric, why, known)


def _models(recipe: "Recipe", suite: Suite) -> list[str]:
    """The models that a suite measures."""
    subjects = registry.subjects(recipe)
    return [name for name in subjects if suite.tasks_of(name, subjects) is not None]


def _problem(recipe: "Recipe", metric: Metric, why: str, known: Iterable[str]) -> Problem:
    there = f"; there are: {', '.join(known)}" if known else ""
    close = _closest(recipe, metric)
    hint = f". Did you mean {close}?" if close else ""
    sources = ("crawl.sources",) if metric.group is not None else ()
    return Problem(
        ("promote.metric", *sources), f"promote.metric is {metric}, and {why}{there}{hint}"
    )


def _closest(recipe: "Recipe", metric: Metric) -> str | None:
    """The name most like it of all that the recipe's evaluation measures."""
    tasks = [task.name for task in recipe.finetune]
    groups = {"source": sorted(recipe.crawl.sources), "task": tasks, None: []}
    names = []
    for name in recipe.evaluate.suites:
        suite = registry.suite(name)
        for model in _models(recipe, suite):
            for kind in suite.figures:
                figure = f"{name}.{model}.{kind.name}"
                names += [figure, *(f"{figure}.{group}" for group in groups[suite.groups])]
    # A source where the model should be was how a figure of one source was named before.
    moved = f"{metric.suite}.{BASE}.{metric.figure}.{metric.model}"
    rest = str(metric).partition(".")[2]
    elsewhere = [name for name in names if name.partition(".")[2] == rest]
    for sure in ([moved], elsewhere):
        if sure and sure[0] in names:
            return sure[0]
    return next(iter(difflib.get_close_matches(str(metric), names, n=1, cutoff=0.8)), None)
