"""The fields of a recipe, told to people as a reference."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pydantic


@dataclasses.dataclass(frozen=True)
class Field:
    """One documented field of a recipe."""

    path: str
    type: str
    default: str
    description: str


def fields_of(model: type) -> Iterator[Field]:
    """Every field of a recipe, or of a section, with its path, type, default and description, in order."""
    if not issubclass(model, pydantic.BaseModel):
        for field in _fields_of("", model, "", dataclasses.MISSING):
            yield dataclasses.replace(field, path=field.path.removeprefix("."))
        return
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
