"""Parts: modules that a call's values choose, such as the architecture of a model or a task's objective.

A step's module never imports its parts: `llm.registry` knows them by kind and name, and the call of a
step names those that its values choose. They join the call's fingerprint, so that another
architecture, layout, task or suite changes no key but its own. A step loads them here, and can load
no others.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# "kind.name" → "module" or "module:attribute"; None where no step is running: all that there are.
_chosen: ContextVar[Mapping[str, str] | None] = ContextVar("chosen", default=None)


def unkeyed(module: str) -> Any:
    """A module that is no part of a step's identity.

    Either it decides how a step is carried out and not what comes out, or what it says becomes a
    value of the call, which is in the key.
    """
    return importlib.import_module(module)


def registry(kind: str) -> Mapping[str, str]:
    """The parts of a kind that there are, by name, in the order of preference."""
    found: Mapping[str, str] = unkeyed("llm.registry").PARTS[kind]
    return found


def chosen(kind: str, names: Iterable[str]) -> dict[str, str]:
    """What a call says of the parts of a kind that it chooses. Raises KeyError for unknown names."""
    known = registry(kind)
    return {f"{kind}.{name}": known[name] for name in names}


def load(kind: str, name: str) -> Any:
    """A part: its module, or the attribute of it that the registry names.

    Raises LookupError in a step whose call has not chosen it: its fingerprint would lack the part.
    """
    parts, key = _chosen.get(), f"{kind}.{name}"
    if parts is None:
        place = registry(kind)[name]
    elif key in parts:
        place = parts[key]
    else:
        raise LookupError(
            f"the part {key} is not among those that the call of this step chose "
            f"({', '.join(sorted(parts)) or 'none'}): name it in the call's parts"
        )
    module, _, attribute = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def load_all(parts: Mapping[str, str]) -> None:
    """Import the modules of parts now, as a process does before it forks others that need them."""
    for module in modules(parts):
        importlib.import_module(module)


def current() -> Mapping[str, str] | None:
    """The parts of the step that is running, to hand to its processes; None: no step is."""
    return _chosen.get()


@contextmanager
def only(parts: Mapping[str, str] | None) -> Iterator[None]:
    """Let nothing but these parts be loaded while the block lasts, in this thread; None: any."""
    token = _chosen.set(None if parts is None else dict(parts))
    try:
        yield
    finally:
        _chosen.reset(token)


def modules(parts: Mapping[str, str]) -> tuple[str, ...]:
    """The modules of parts, in alphabetical order."""
    return tuple(sorted({place.partition(":")[0] for place in parts.values()}))
