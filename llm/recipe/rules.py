"""What a recipe's sections ask of each other: told when it is loaded, not hours later by a step.

`always` has what no run can do; `broken` what one of the stages that are to run could not do: a
recipe for a decoder alone may be pretrained as an encoder all the same. Messages name both fields,
each with its value, and the way out. Nothing here looks at a file: see `llm.recipe.files`.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm.evaluation import registry
from llm.evaluation.suite import BASE
from llm.recipe.addresses import address_problems
from llm.recipe.files import missing
from llm.recipe.finetune_rules import finetune
from llm.recipe.messages import Problem
from llm.recipe.metric_rules import promotion
from llm.recipe.values import is_finite

if TYPE_CHECKING:
    from llm.recipe import Recipe

# What tables of a run call all sources together.
ALL_SOURCES = "all"
DOC_ID = "doc_id"
# Which of `tokenizer.reserve` an objective needs.
RESERVES = {"masked": "masking", "masked_next_sentence": "masking", "span_corruption": "spans"}
_NAME = re.compile(r"[\w-]+")


def always(recipe: "Recipe") -> Iterator[Problem]:
    """What is wrong whichever stages run."""
    yield from _names(recipe)
    yield from address_problems(recipe)
    pretrain, sources = recipe.pretrain, recipe.crawl.sources
    if pretrain.continual is not None and recipe.crawl.nights == "alone":
        yield Problem(
            ("pretrain.continual", "crawl.nights"),
            "pretrain.continual continues from the nights before, and crawl.nights is alone: crawl.nights "
            "must be accumulate, or leave pretrain.continual out",
        )
    known = ", ".join(sorted(sources))
    for name in sorted(set(pretrain.mix) - set(sources) if sources else ()):
        yield Problem(
            (f"pretrain.mix.{name}", "crawl.sources"),
            f"pretrain.mix: there is no source {name!r} in crawl.sources; there are: {known}",
        )
    for name, source in sources.items():
        if source.type == "hook" and not is_finite(source.options):
            yield Problem(
                (f"crawl.sources.{name}.options",),
                f"crawl.sources.{name}.options: a number must be finite: leave .inf and .nan out",
            )


def broken(recipe: "Recipe", stages: Sequence[str]) -> Iterator[Problem]:
    """What one of these stages could not do, and files that are not there."""
    for stage, rules in RULES.items():
        if stage in stages:
            for rule in rules:
                yield from rule(recipe)
    yield from missing(recipe, stages)


def _names(recipe: "Recipe") -> Iterator[Problem]:
    """Names that stand for something else already, or twice."""
    seen: set[str] = set()
    for number, task in enumerate(recipe.finetune):
        field = f"finetune.{number}.name"
        if task.name == BASE:
            yield Problem(
                (field,),
                f"{field}: {BASE!r} is what evaluate and promote call the pretrained model: choose "
                "another name",
            )
        if task.name in seen:
            yield Problem((field,), f"{field}: {task.name!r} is the name of another task too")
        seen.add(task.name)
    if ALL_SOURCES in recipe.crawl.sources:
        field = f"crawl.sources.{ALL_SOURCES}"
        yield Problem(
            (field,),
            f"{field}: {ALL_SOURCES!r} is the name that tables use for all sources together: choose another",
        )
    lower: dict[str, str] = {}
    for name in recipe.crawl.sources:
        if name.lower() in lower:
            yield Problem(
                (f"crawl.sources.{name}", f"crawl.sources.{lower[name.lower()]}"),
                f"crawl.sources: {lower[name.lower()]!r} and {name!r} differ only in case, and "
                "some disks treat them as one: rename one of them",
            )
        lower[name.lower()] = name
    for name in recipe.clean.hooks:
        field = f"clean.hooks.{name}"
        if name == DOC_ID:
            yield Problem((field,), f"{field}: {DOC_ID!r} is a column already: choose another name")
        elif not _NAME.fullmatch(name):
            yield Problem(
                (field,), f"clean.hooks: the name {name!r} may hold letters, digits, - and _ only"
            )
    for name in recipe.clean.decontaminate.sets:
        if not name.strip() or not name.isprintable():
            yield Problem(
                ("clean.decontaminate.sets",),
                f"clean.decontaminate.sets: {name!r} is not a name: use letters, digits, - and _",
            )
    for field, chosen in _lists(recipe):
        twice = next((item for item in chosen if list(chosen).count(item) > 1), None)
        if twice is not None:
            yield Problem((field,), f"{field} names {twice} twice: name it once")


def _lists(recipe: "Recipe") -> Iterator[tuple[str, Sequence[str]]]:
    yield "clean.pii", recipe.clean.pii
    yield "tokenizer.reserve", recipe.tokenizer.reserve


def _clean(recipe: "Recipe") -> Iterator[Problem]:
    settings, filters = recipe.clean, recipe.clean.filters
    for name, hook in settings.hooks.items():
        if hook.min is not None and hook.max is not None and hook.min > hook.max:
            at = f"clean.hooks.{name}"
            yield Problem(
                (f"{at}.min", f"{at}.max"),
                f"{at}: min is {hook.min:g} and max is {hook.max:g}, so no document can pass: lower min "
                "or raise max (min is 0.5 unless you set it)",
            )
    yield from _crossed("clean.filters", filters)
    for language, presets in filters.per_language.items():
        for preset, bounds in presets.items():
            whole = {**_bounds(getattr(filters, preset)), **bounds}
            yield from _crossed_bounds(f"clean.filters.per_language.{language}.{preset}", whole)
    for bound, model in (("min_quality", "quality_model"), ("max_perplexity", "perplexity_model")):
        value = getattr(filters.models, bound)
        if value is not None and not getattr(settings.signals, model):
            yield Problem(
                (f"clean.filters.models.{bound}", f"clean.signals.{model}"),
                f"clean.filters.models.{bound} is {value:g}, and clean.signals.{model} names no model "
                "that could say it: name one, or leave the bound out",
            )


def _bounds(preset: Any) -> dict[str, float | None]:
    if not dataclasses.is_dataclass(preset):
        return {}
    names = (field.name for field in dataclasses.fields(preset))
    return {name: getattr(preset, name) for name in names if name[:4] in ("min_", "max_")}


def _crossed(path: str, filters: Any) -> Iterator[Problem]:
    for field in dataclasses.fields(filters):
        yield from _crossed_bounds(f"{path}.{field.name}", _bounds(getattr(filters, field.name)))


def _crossed_bounds(path: str, bounds: Mapping[str, float | None]) -> Iterator[Problem]:
    for name, low in bounds.items():
        high = bounds.get(f"max_{name[4:]}")
        if name.startswith("min_") and low is not None and high is not None and low > high:
            yield Problem(
                (f"{path}.{name}", f"{path}.max_{name[4:]}"),
                f"{path}: {name} is {low:g}, above max_{name[4:]} {high:g}: no document can pass; lower "
                "the first or raise the second",
            )


def _pretrain(recipe: "Recipe") -> Iterator[Problem]:
    settings, objective = recipe.pretrain, recipe.pretrain.objective
    group = RESERVES.get(objective.type)
    learned = recipe.tokenizer.imported is None
    if group is not None and learned and group not in recipe.tokenizer.reserve:
        yield Problem(
            ("tokenizer.reserve", "pretrain.objective.type"),
            f"pretrain.objective.type is {objective.type}, and its tokens are not in the vocabulary: "
            f"add {group} to tokenizer.reserve, as in reserve: "
            f"[{', '.join((*recipe.tokenizer.reserve, group))}]",
        )
    yield from _windows(recipe)
    weights = [settings.mix.get(name, 1) for name in recipe.crawl.sources]
    if weights and not any(weights):
        yield Problem(
            ("pretrain.mix", "crawl.sources"),
            "pretrain.mix gives every source of crawl.sources the weight 0, so there is nothing to "
            "train on: give one of them more",
        )
    fraction = recipe.tokenize.validation.fraction
    if settings.validate_every is not None and not fraction:
        yield Problem(
            ("pretrain.validate_every", "tokenize.validation.fraction"),
            f"pretrain.validate_every is {settings.validate_every}, and tokenize.validation.fraction 0 "
            "holds no document out to measure on: raise the fraction, or leave validate_every out",
        )


def _windows(recipe: "Recipe") -> Iterator[Problem]:
    """What objectives ask of windows."""
    settings, objective = recipe.pretrain, recipe.pretrain.objective
    length = settings.model.context_length
    if objective.type in ("masked_next_sentence", "span_corruption"):
        apart = {
            "pretrain.packing": settings.packing == "best_fit" and "best_fit",
            "pretrain.document_mask": settings.document_mask and "true",
        }
        for field, value in apart.items():
            if value:
                yield Problem(
                    (field, "pretrain.objective.type"),
                    f"{field} is {value}, which keeps documents apart, and pretrain.objective.type "
                    f"{objective.type} reads whole windows: set pretrain.packing to concat and "
                    "pretrain.document_mask to false",
                )
    if objective.type == "masked_next_sentence":
        model = settings.model
        wanted = {
            "next_sentence": (model.next_sentence, "true"),
            "token_types": (model.token_types >= 2, "2"),
        }
        for name, (fits, value) in wanted.items():
            if not fits:
                yield Problem(
                    (f"pretrain.model.{name}", "pretrain.objective.type"),
                    "pretrain.objective.type masked_next_sentence needs pretrain.model."
                    f"{name} {value}, and it is {str(getattr(model, name)).lower()}",
                )
        if length < 5:
            yield Problem(
                ("pretrain.model.context_length", "pretrain.objective.type"),
                f"pretrain.model.context_length {length} has no room for two sentences and their marks, "
                "which pretrain.objective.type masked_next_sentence asks about: use 5 or more",
            )
    if objective.type == "span_corruption":
        from llm.tokens.special import SPANS
        from llm.training.objectives.span_corruption import sizes

        hidden, spans = sizes(length, objective.rate, objective.mean_span)
        if spans >= SPANS:
            yield Problem(
                ("pretrain.objective.mean_span", "pretrain.model.context_length"),
                f"pretrain.objective.mean_span {objective.mean_span:g} makes {spans} spans of a row of "
                f"pretrain.model.context_length {length}, and there are {SPANS} sentinels: set mean_span "
                f"to {hidden / (SPANS - 1.5):.1f} or more, or lower context_length",
            )


def _evaluate(recipe: "Recipe") -> Iterator[Problem]:
    settings, model = recipe.evaluate, recipe.pretrain.model
    yield from _measures_nothing(recipe)
    if not recipe.tokenize.validation.fraction:
        yield Problem(
            ("tokenize.validation.fraction", "evaluate"),
            "tokenize.validation.fraction is 0, so no document is held out, and evaluate measures on "
            "those: raise it, to 0.05 for example, or run with --until finetune",
        )
    scored = settings.perplexity
    longest = model.context_length
    length = scored.context_length or longest
    if length > longest:
        yield Problem(
            ("evaluate.perplexity.context_length", "pretrain.model.context_length"),
            f"evaluate.perplexity.context_length is {length}, more than pretrain.model.context_length "
            f"{longest}: lower it, or leave it out",
        )
    stride = scored.stride
    if stride and not scored.context_length and stride > longest:
        yield Problem(
            ("evaluate.perplexity.stride", "pretrain.model.context_length"),
            f"evaluate.perplexity.stride is {stride}, more than pretrain.model.context_length {longest}: "
            "tokens between two windows would not be scored; lower it",
        )
    for name in ("lstm", "cnn"):
        row = getattr(settings, name).training.context_length
        if name in settings.baselines and stride and not scored.context_length and stride > row:
            yield Problem(
                ("evaluate.perplexity.stride", f"evaluate.{name}.training.context_length"),
                f"evaluate.perplexity.stride is {stride}, more than evaluate.{name}.training."
                f"context_length {row}: lower it, or raise that one",
            )


def _measures_nothing(recipe: "Recipe") -> Iterator[Problem]:
    subjects = registry.subjects(recipe)
    chosen = {name: registry.suite(name) for name in recipe.evaluate.suites}
    if not chosen or any(
        suite.tasks_of(name, subjects) is not None for suite in chosen.values() for name in subjects
    ):
        return
    architecture = recipe.pretrain.model.architecture
    fitting = [
        name for name in registry.SUITES if architecture in registry.suite(name).architectures
    ]
    yield Problem(
        ("evaluate.suites", "pretrain.model.architecture", "pretrain.model.preset"),
        f"evaluate.suites is [{', '.join(chosen)}], and pretrain.model is an {architecture}, which they "
        f"cannot measure: choose from {', '.join(fitting)}",
    )


RULES = {
    "clean": (_clean,),
    "pretrain": (_pretrain,),
    "finetune": (finetune,),
    "evaluate": (_evaluate,),
    "promote": (promotion,),
}
