"""What fine-tuning asks of a recipe: each task says which models, tokens and examples it is for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm.examples.settings import BUILTIN, CONVERSATIONS
from llm.recipe.messages import Problem
from llm.training.finetune.settings import lacks
from llm.training.finetune.task import Task, task_of

if TYPE_CHECKING:
    from llm.recipe import Recipe
    from llm.training.finetune.settings import FinetuneSettings


def finetune(recipe: "Recipe") -> Iterator[Problem]:
    """What no task of the recipe could do, one after the other."""
    model = recipe.pretrain.model
    for number, values in enumerate(recipe.finetune):
        task = task_of(values.task)
        path, least = f"finetune.{number}", values.data_parallel * model.context_length
        if model.architecture not in task.architectures:
            yield _wrong_architecture(recipe, values, task, path)
        for group in task.reserves:
            if recipe.tokenizer.imported is None and group not in recipe.tokenizer.reserve:
                listed = ", ".join((group, *recipe.tokenizer.reserve))
                yield Problem(
                    ("tokenizer.reserve", path),
                    f"finetune {values.name} ({values.task}) needs special tokens, and "
                    f"tokenizer.reserve leaves them out: add {group}, as in reserve: [{listed}]",
                )
        if task.writes and values.batch_tokens < least:  # others' rows are as long as their texts
            yield Problem(
                (f"{path}.batch_tokens", "pretrain.model.context_length", f"{path}.data_parallel"),
                f"{path}.batch_tokens is {values.batch_tokens}, less than data_parallel "
                f"{values.data_parallel} times pretrain.model.context_length {model.context_length}: "
                f"raise batch_tokens to {least}, or lower data_parallel or the context",
            )
        for target in lacks(values.adapt, model):
            yield Problem(
                (f"{path}.adapt.targets", "pretrain.model"),
                f"{path}.adapt.targets names {target}, and pretrain.model has none: leave it out",
            )
        yield from _unknown_columns(values, task, path)
        if values.data.startswith("builtin:"):
            yield from _builtin(recipe, values, task, path)


def _builtin(
    recipe: "Recipe", values: "FinetuneSettings", task: Task, path: str
) -> Iterator[Problem]:
    if values.data != BUILTIN:
        yield Problem(
            (f"{path}.data",),
            f"{path}.data: there are no built-in examples {values.data!r}: write {BUILTIN}, or the path "
            "of your own",
        )
        return
    if tuple(task.columns(values)) != CONVERSATIONS:
        yield Problem(
            (f"{path}.data", f"{path}.task"),
            f"{path}.data is {BUILTIN}, which are conversations, and task {values.task} learns from "
            f"{', '.join(column.name for column in task.columns(values))}: name files of your own",
        )
    seeds = [
        seed
        for source in recipe.crawl.sources.values()
        if source.type == "web"
        for seed in source.seeds
    ]
    if not any(seed.startswith("builtin:python-docs") for seed in seeds):
        yield Problem(
            (f"{path}.data", "crawl.sources"),
            f"{path}.data is {BUILTIN}, questions on Python's documentation, and no source of "
            "crawl.sources has it (the seed builtin:python-docs): name conversations of your own, drop the "
            "task with `finetune: []`, or extend recipes/base.yaml, which has none",
        )


def _unknown_columns(values: "FinetuneSettings", task: Task, path: str) -> Iterator[Problem]:
    there = [column.name for column in task.columns(values)]
    for name, field in values.columns.items():
        if name not in there:
            yield Problem(
                (f"{path}.columns",),
                f"{path}.columns says where {name} is, and task {values.task} has the columns "
                f"{', '.join(there)}: write {{COLUMN: FIELD}}, such as {{{there[0]}: {field}}}",
            )
    places = [field for field in values.columns.values() if isinstance(field, int)]
    if places and (len(places) < len(values.columns) or min(places) < 1):
        yield Problem(
            (f"{path}.columns",),
            f"{path}.columns is {dict(values.columns)}: name fields, or count the cells of a table without a "
            "header from 1, not both",
        )


def _wrong_architecture(
    recipe: "Recipe", values: "FinetuneSettings", task: Task, path: str
) -> Problem:
    architecture = recipe.pretrain.model.architecture
    return Problem(
        ("pretrain.model.architecture", "pretrain.model.preset", path),
        f"finetune {values.name} ({values.task}) starts from {' or '.join(task.architectures)}, and "
        f"pretrain.model is an {architecture}: choose another preset, or drop the task",
    )
