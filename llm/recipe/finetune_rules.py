"""What fine-tuning asks of a recipe: each task says which models, tokens and examples it is for."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llm.examples.settings import BUILTIN, CONVERSATIONS
from llm.recipe.messages import Problem
from llm.step import BadInput
from llm.training.finetune.settings import lacks
from llm.training.finetune.start import is_folder, read, root_of
from llm.training.finetune.task import Task, task_of

if TYPE_CHECKING:
    from llm.models.config import ModelConfig, ModelSettings
    from llm.recipe import Recipe
    from llm.training.finetune.settings import FinetuneSettings

    Shape = ModelConfig | ModelSettings


def finetune(recipe: "Recipe") -> Iterator[Problem]:
    """What no task of the recipe could do, one after the other."""
    for number, values in enumerate(recipe.finetune):
        task, path = task_of(values.task), f"finetune.{number}"
        yield from _wrong_start(recipe, number, values, task, path)
        root = root_of(recipe.finetune, values)
        model: Shape | None = recipe.pretrain.model
        if root is not None:
            try:
                model = read(root).config
            except (BadInput, OSError) as error:
                model = None
                if Path(root).expanduser().is_dir() and root == values.init:
                    yield Problem((f"{path}.init",), f"{path}.init: {error}")
        yield from _unknown_columns(values, task, path)
        if values.data.startswith("builtin:"):
            yield from _builtin(recipe, values, task, path)
        if model is None:
            continue  # nothing is known of it
        least = values.data_parallel * model.context_length
        if model.architecture not in task.architectures:
            yield _wrong_architecture(model, values, task, path)
        for group in task.reserves if root is None else ():
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
                f"{path}.adapt.targets names {target}, and the model has none: leave it out",
            )


def _wrong_start(
    recipe: "Recipe", number: int, values: "FinetuneSettings", task: Task, path: str
) -> Iterator[Problem]:
    """An init that names no earlier task, or one whose model this task cannot start from."""
    if values.init is None or is_folder(values.init):
        return
    earlier = {one.name: one for one in recipe.finetune[:number]}
    known = ", ".join(earlier) or "none"
    if values.init not in earlier:
        yield Problem(
            (f"{path}.init",),
            f"{path}.init names {values.init!r}, and the tasks before it are: {known}. Name one of them, or write "
            f"the path of a model folder with a /, such as ./{values.init}",
        )
    elif not task_of(earlier[values.init].task).writes:
        yield Problem(
            (f"{path}.init",),
            f"{path}.init names {values.init!r}, whose model says labels or values of texts, and not tokens: start "
            "from a task that writes, from a folder, or from the base model",
        )


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
    model: "Shape", values: "FinetuneSettings", task: Task, path: str
) -> Problem:
    what = "pretrain.model" if values.init is None else f"what {path}.init names"
    places = ("pretrain.model.architecture", "pretrain.model.preset")
    return Problem(
        (*(places if values.init is None else (f"{path}.init",)), path),
        f"finetune {values.name} ({values.task}) starts from {' or '.join(task.architectures)}, and "
        f"{what} is an {model.architecture}: choose another "
        f"{'preset' if values.init is None else 'model'}, or drop the task",
    )
