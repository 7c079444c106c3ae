"""How a recipe's sections are declared: frozen dataclasses whose fields carry their own documentation.

Plain dataclasses, because training runs where pydantic is not installed; pydantic reads the same
metadata when `llm.recipe` validates a YAML file.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")

PathKind = Literal["file", "local", "module"]
"""What a field that names files holds.

file: a path, unless it is an address or built in; local: a name, or a path where it begins with /, .
or ~; module: `module:function`.
"""


def setting(
    *,
    default: Any = dataclasses.MISSING,
    description: str = "",
    path: PathKind | None = None,
    decides: bool = True,
    usual: bool = False,
    shapes: bool = True,
    **bounds: Any,
) -> Any:
    """Declare one field: its default, a description that names the unit, and bounds.

    path: set for fields that name files, so that a recipe's relative paths count from its own folder
    (see `llm.located`).

    decides: False for fields that say how a result is made and called, not what it is: they are no
    part of a key, so another value makes nothing again.

    shapes: False for fields of a fine-tuning task that say how it is learned, not what its rows are: another
    value encodes no example again.

    usual: True for the field that tells one section from the others that may stand in its place, in
    the section that is meant where a recipe leaves it out.

    `bounds` are pydantic's names: gt, ge, lt, le, pattern, min_length, max_length; `alias` is how the
    field is written in YAML where that is no name in Python (`import`). A default that is callable (`dict`, `list`, a lambda) is called again for every instance.
    """
    metadata = {"description": description, **({"path": path} if path else {}), **bounds}
    if not decides:
        metadata["decides"] = False
    if usual:
        metadata["usual"] = True
    if not shapes:
        metadata["shapes"] = False
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
def section(cls: type[T]) -> type[T]:
    """Make a class a section of the recipe: frozen, keyword-only, unknown fields forbidden.

    A section that extends another has its own fields first. Cross-field rules go into `__post_init__` as ValueErrors that name the value and the fix.
    """
    # A field whose word Python reserves has an alias; what is recorded of a run has its name.
    config = {"extra": "forbid", "populate_by_name": True, "allow_inf_nan": False}
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]
    make: Callable[[type[T]], type[T]] = dataclasses.dataclass(frozen=True, kw_only=True)
    own = list(vars(cls).get("__annotations__", ()))
    above = getattr(cls.__bases__[0], "__dataclass_fields__", ()) if len(cls.__bases__) == 1 else ()
    made = make(cls)
    fields: dict[str, Any] = vars(made)["__dataclass_fields__"]
    for name in dict.fromkeys([*own, *above, *fields]):
        fields[name] = fields.pop(name)
    return made


def restored(kind: type[T], values: Mapping[str, Any]) -> T:
    """A section as it was before `dataclasses.asdict` and JSON, with the sections in it."""
    hints = get_type_hints(kind)
    return kind(**{name: _restored(hints[name], value) for name, value in values.items()})


def _restored(hint: Any, value: Any) -> Any:
    kinds = [one for one in get_args(hint) if one is not type(None)] or [hint]
    if isinstance(value, Mapping):
        found = next((one for one in kinds if dataclasses.is_dataclass(one)), None)
        assert found is None or isinstance(found, type)
        return value if found is None else restored(found, value)
    is_tuple = tuple in (get_origin(hint), *map(get_origin, kinds))
    return tuple(value) if is_tuple and isinstance(value, list) else value


def deciding(value: Any) -> dict[str, Any]:
    """A section's fields by name, sections in it too, without those that decide nothing."""
    return {
        field.name: deciding(inner) if dataclasses.is_dataclass(inner) else inner
        for field in dataclasses.fields(value)
        if field.metadata.get("decides", True)
        for inner in [getattr(value, field.name)]
    }
