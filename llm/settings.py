"""How a recipe's sections are declared: frozen dataclasses whose fields carry their own documentation.

Plain dataclasses, because training runs where pydantic is not installed; pydantic reads the same
metadata when `llm.recipe` validates a YAML file.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


def setting(*, default: Any = dataclasses.MISSING, description: str = "", **bounds: Any) -> Any:
    """Declare one field: its default, a description that names the unit, and bounds.

    `bounds` are pydantic's names: gt, ge, lt, le, pattern, min_length, max_length; `alias` is how the
    field is written in YAML where that is no name in Python (`import`). A default that is callable (`dict`, `list`, a lambda) is called anew for every instance.
    """
    metadata = {"description": description, **bounds}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
def section(cls: type[T]) -> type[T]:
    """Make a class a section of the recipe: frozen, keyword-only, unknown fields forbidden.

    Cross-field rules go into `__post_init__` as ValueErrors that name the value and the fix.
    """
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    make: Callable[[type[T]], type[T]] = dataclasses.dataclass(frozen=True, kw_only=True)
    return make(cls)
