"""The fields of a recipe: told to people as a reference, and where one is wrong."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import pydantic

Model = type[pydantic.BaseModel]


@dataclasses.dataclass(frozen=True)
class Field:
    """One documented field of a recipe."""

    path: str
    type: str
    default: str
    description: str


def fields_of(model: Model) -> Iterator[Field]:
    """Every field with its path, type, default and description, in order."""
    for name, info in model.model_fields.items():
        yield from _fields_of(
            name,
            info.annotation,
            info.description or "",
            info.get_default(call_default_factory=True, validated_data={}),
        )


def _fields_of(path: str, annotation: Any, description: str, default: Any) -> Iterator[Field]:
    nested = list(_sections(annotation))
    if description or not nested:
        shown = "required" if _is_missing(default) else repr(default)
        yield Field(path, _type_name(annotation), shown if not nested else "", description)
    for cls in nested:
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            fallback = field.default
            if field.default_factory is not dataclasses.MISSING:
                fallback = field.default_factory()
            yield from _fields_of(
                f"{path}.{field.metadata.get('alias', field.name)}",
                hints[field.name],
                field.metadata.get("description", ""),
                fallback,
            )


def _is_missing(default: Any) -> bool:
    return default is dataclasses.MISSING or type(default).__name__ == "PydanticUndefinedType"


def _sections(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _sections(argument)


def _type_name(annotation: Any) -> str:
    """A type as people write it: `tuple[str, ...]`, `int | None`, `web | files`."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if annotation is Ellipsis:
        return "..."
    if annotation is type(None):
        return "null"
    if not arguments:
        return "section" if dataclasses.is_dataclass(annotation) else annotation.__name__
    if origin is Literal:
        return " | ".join(str(item) for item in arguments)
    if origin is Annotated:
        return _type_name(arguments[0])
    names = [_type_name(item) for item in arguments]
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(names))
    return f"{origin.__name__}[{', '.join(names)}]"


def explain(model: Model, error: Any) -> str:
    """One line on an error of pydantic's: which field, what was given, what is allowed."""
    where = ".".join(str(part) for part in error["loc"]) or "recipe"
    given = error["input"]
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = sorted(_known(model, error["loc"][:-1]))
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        close = close or _nearest(model, where, given)
        hint = (
            f": did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(known)}"
        )
        return f"{where}: no such field{hint}"
    if error["type"] in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    shown = (
        repr(given)
        if not isinstance(given, dict | list) and not dataclasses.is_dataclass(given)
        else ""
    )
    return f"{where}: {message}" + (f", not {shown}" if shown else "")


def _nearest(model: Model, where: str, given: Any) -> list[str]:
    """Paths of real fields that a path may mean whose sections are wrong or left out, three at most.

    Those whose last name is the path's, in the sections that its other names are part of.
    """
    path = where.split(".")
    while isinstance(given, dict) and given:
        name, given = next(iter(given.items()))
        path.append(str(name))
    ranked: dict[str, tuple[bool, int]] = {}
    for field in fields_of(model):
        parts = field.path.split(".")
        if parts[-1] == path[-1]:
            part_of = sum(any(name in part for part in parts[:-1]) for name in path[:-1])
            ranked[field.path] = (parts[0] == path[0], part_of)
    best = max(ranked.values(), default=None)
    return [_written(model, one) for one, rank in ranked.items() if rank == best][:3]


def _written(model: Model, path: str) -> str:
    """A field's path as it is written, through the keys of mappings."""
    types = {field.path: field.type for field in fields_of(model)}
    parts = []
    *above, last = path.split(".")
    for depth, name in enumerate(above, start=1):
        parts.append(name)
        if types.get(".".join(above[:depth]), "").startswith("dict["):
            parts.append("<name>")
    return ".".join([*parts, last])


def _known(model: Model, section: Sequence[Any]) -> set[str]:
    """Names of the fields of the section that an error's location names.

    A location also names keys of mappings, numbers of items and tags of unions.
    """
    if not section:
        return set(model.model_fields)
    named = [str(part) for part in section]
    found = set()
    for field in fields_of(model):
        *own, name = field.path.split(".")
        rest = iter(named)
        if own and own[0] == named[0] and all(part in rest for part in own):
            found.add((len(own), name))
    deepest = max((depth for depth, _ in found), default=0)
    return {name for depth, name in found if depth == deepest}
