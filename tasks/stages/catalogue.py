"""Every step by its name, for commands that come across artifacts and ask what they hold."""

import functools
import importlib
import pkgutil
from collections.abc import Mapping

import tasks.stages
from tasks.engine.step import Holds, Step


@functools.cache
def steps() -> Mapping[str, Step]:
    """The steps of all stages by name, those of before among them.

    Of steps that share a name (each kind of source is read by one called crawl) one stands for all:
    they say the same of their artifacts. Raises ValueError where they do not.
    """
    found: dict[str, Step] = {}
    for module in pkgutil.iter_modules(tasks.stages.__path__, f"{tasks.stages.__name__}."):
        for step in vars(importlib.import_module(module.name)).values():
            if isinstance(step, Step):
                for name in (step.name, *step.formerly):
                    if _told(found.setdefault(name, step)) != _told(step):
                        raise ValueError(f"two steps called {name} say different things of it")
    return found


def _told(step: Step) -> tuple[object, ...]:
    return step.holds, step.rewritten, step.files_in, step.learns


def holds(name: str) -> Holds:
    """What the artifacts of a step hold; those of a step that is not known any more: figures."""
    found = steps().get(name)
    return "figures" if found is None else found.holds


def files_in(name: str) -> str:
    """Which value of a step names the user's files; "": none."""
    found = steps().get(name)
    return "" if found is None else found.files_in
