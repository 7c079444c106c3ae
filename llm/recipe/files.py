"""Files that a recipe names for stages after the crawl: whether they are there, told at once."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm.located import found, where
from llm.recipe.messages import Problem
from llm.training.finetune.start import is_folder

if TYPE_CHECKING:
    from llm.recipe import Recipe


def missing(recipe: "Recipe", stages: Sequence[str]) -> Iterator[Problem]:
    """Files of these stages that are not there or may not be read."""
    if "clean" in stages:
        for name, one in recipe.clean.decontaminate.sets.items():
            yield from _files(f"clean.decontaminate.sets.{name}.path", one.path)
        for name in ("quality_model", "perplexity_model"):
            path = getattr(recipe.clean.signals, name)
            if path:
                yield from _files(f"clean.signals.{name}", path)
    if "pretrain" in stages and recipe.pretrain.init is not None:
        yield from _model_folder("pretrain.init", recipe.pretrain.init)
    if "finetune" in stages:
        for number, task in enumerate(recipe.finetune):
            if task.init is not None and is_folder(task.init):
                yield from _model_folder(f"finetune.{number}.init", task.init)
            for field in ("data", "validation", "test"):
                path = getattr(task, field) or "builtin:"
                if not path.startswith("builtin:"):
                    yield from _files(f"finetune.{number}.{field}", path)


def _files(field: str, path: str) -> Iterator[Problem]:
    """A file, a folder with files, or a pattern that matches one."""
    if "://" in path:
        return
    there = [
        item
        for one in found(path)
        for item in (one.rglob("*") if one.is_dir() else (one,))
        if item.is_file()
    ]
    if not there:
        yield Problem((field,), f"{field}: no file matches {where(path)}: correct the path")
    closed = next((one for one in there if not os.access(one, os.R_OK)), None)
    if closed is not None:
        yield Problem((field,), f"{field}: {closed} cannot be read: change its permissions")


def _model_folder(field: str, text: str) -> Iterator[Problem]:
    path = Path(text).expanduser()
    if not path.is_dir():
        yield Problem((field,), f"{field}: there is no folder {where(text)}: correct the path")
    elif not (path / "config.json").is_file():
        yield Problem(
            (field,), f"{field}: {where(text)} is not a model folder: it has no config.json"
        )
