"""From what a recipe file holds to plain values: the field's type decides how a word is read.

`2024` is a number for a field with numbers and a name for one with text, and a path counts from the
folder of the file that it stands in. What fits no type is left as it is: validation names it.
"""

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from llm.located import locate, locate_module
from llm.recipe.yaml import Fields, Items, Node, Scalar, Unread, core, parsed, plain

_GROUPED = re.compile(r"[-+]?[0-9]+(_[0-9]+)+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_WORDS = {"yes": True, "on": True, "no": False, "off": False}
TAGS = ("type", "task")
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a section as it is declared."""

    name: str
    annotation: Any
    description: str
    metadata: Mapping[str, Any]
    required: bool

    @property
    def path(self) -> str | None:
        """What kind of path it holds (`llm.settings.PathKind`), if one."""
        return self.metadata.get("path")


@functools.cache
def settings_of(section: type) -> Mapping[str, Setting]:
    """The fields of a section, or of the recipe itself, by the name that a recipe calls them."""
    if issubclass(section, pydantic.BaseModel):
        return {
            name: Setting(name, info.annotation, info.description or "", {}, info.is_required())
            for name, info in section.model_fields.items()
        }
    hints = typing.get_type_hints(section, include_extras=True)
    found = {}
    for one in dataclasses.fields(section):  # type: ignore[arg-type]
        name = one.metadata.get("alias", one.name)
        bare = one.default is one.default_factory is dataclasses.MISSING
        said = one.metadata.get("description", "")
        found[name] = Setting(name, hints[one.name], said, one.metadata, bare)
    return found


def members(annotation: Any) -> tuple[list[Any], bool]:
    """The types that a value may have, and whether it may be null."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return members(typing.get_args(annotation)[0])
    if origin not in (typing.Union, types.UnionType):
        return [annotation], False
    found: list[Any] = []
    nullable = False
    for one in typing.get_args(annotation):
        if one is type(None):
            nullable = True
        else:
            inner, also = members(one)
            found += inner
            nullable |= also
    return found, nullable


def is_section(annotation: Any) -> bool:
    """Whether it is a section of the recipe."""
    return isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or issubclass(annotation, pydantic.BaseModel)
    )


def tag_field(section: Any) -> str:
    """The field that tells one of several sections from the others that may stand in its place."""
    return next(name for name in TAGS if name in settings_of(section))


def tag_of(section: Any) -> str:
    """What that field is in one of several sections."""
    return str(typing.get_args(settings_of(section)[tag_field(section)].annotation)[0])


def values(node: Node, annotation: Any, path: str | None = None) -> Any:
    """A node as plain values for a type. path: what kind of path its text is.

    Overrides are read as it goes: in `node`, their text is replaced by what it means. Raises BadYAML.
    """
    kinds, nullable = members(annotation)
    if isinstance(node, Unread):
        node = meant(node, annotation)
    if isinstance(node, Fields):
        section = _section_for(node, kinds)
        inner = _arguments(kinds, dict)
        for name, item in node.items.items():
            if isinstance(item, Unread):
                one = settings_of(section).get(name) if section else None
                node.items[name] = meant(item, one.annotation if one else (*inner, Any, Any)[1])
        if section is not None:
            known = settings_of(section)
            return {name: _value_of(item, known.get(name)) for name, item in node.items.items()}
        return {
            name: values(item, inner[1], path) if inner else plain(item)
            for name, item in node.items.items()
        }
    if isinstance(node, Items):
        inner = _arguments(kinds, tuple)
        for number, item in enumerate(node.items):
            of = _item_type(inner, number)
            if isinstance(item, Unread):
                item = node.items[number] = meant(item, of)
        return [values(item, _item_type(inner, n), path) for n, item in enumerate(node.items)]
    assert isinstance(node, Scalar)
    return _scalar(node, kinds, nullable, path)


def _value_of(node: Node, setting: Setting | None) -> Any:
    return plain(node) if setting is None else values(node, setting.annotation, setting.path)


def meant(node: Unread, annotation: Any) -> Node:
    """What the text of an override is for a field: text itself where the field holds text."""
    kinds, nullable = members(annotation)
    text = node.text.strip()
    if not any(kind is str or typing.get_origin(kind) is Literal for kind in kinds):
        return parsed(node)
    listed = bool(_arguments(kinds, tuple)) and text.startswith("[")
    if text.startswith(("'", '"')) or listed or (nullable and text in _NULLS):
        return parsed(node)
    return Scalar(node.text, False, node.place)


def _section_for(node: Fields, kinds: list[Any]) -> Any:
    sections = [kind for kind in kinds if is_section(kind)]
    if len(sections) < 2:
        return sections[0] if sections else None
    field = tag_field(sections[0])
    named = node.items.get(field)
    if named is None:
        return next(
            (one for one in sections if settings_of(one)[field].metadata.get("usual")), None
        )
    if isinstance(named, Unread):
        named = Scalar(named.text, False, named.place)
    text = named.text if isinstance(named, Scalar) else ""
    return next((one for one in sections if tag_of(one) == text), None)


def _arguments(kinds: list[Any], origin: type) -> tuple[Any, ...]:
    """The arguments of the first of the types that is a `dict[...]` or a `tuple[...]`."""
    return next((typing.get_args(one) for one in kinds if typing.get_origin(one) is origin), ())


def _item_type(inner: tuple[Any, ...], number: int) -> Any:
    if not inner:
        return Any
    return inner[0] if inner[-1] is Ellipsis else inner[min(number, len(inner) - 1)]


def _scalar(node: Scalar, kinds: list[Any], nullable: bool, path: str | None) -> Any:
    if not node.plain:
        return _placed(node, path) if path else node.text
    value = node.value
    if value is None or Any in kinds:
        return value
    if any(kind is str or typing.get_origin(kind) is Literal for kind in kinds):
        return _placed(node, path) if path else node.text
    if bool in kinds:
        return value if isinstance(value, bool) else _WORDS.get(node.text.lower(), node.text)
    if int in kinds or float in kinds:
        if _GROUPED.fullmatch(node.text):
            value = core(node.text.replace("_", ""))
        return (
            value if isinstance(value, int | float) and not isinstance(value, bool) else node.text
        )
    return value


def _placed(node: Scalar, path: str) -> str:
    """A path's text, located in the folder that it counts from."""
    if node.place.folder is None:
        return node.text
    if path == "module":
        return locate_module(node.text, node.place.folder)
    if path == "local" and not (
        node.text.startswith(("/", "./", "../")) or node.text in (".", "..")
    ):
        return node.text
    return locate(node.text, node.place.folder)


def is_finite(value: Any) -> bool:
    """Whether there is no infinite number, and none that is not a number, in plain values."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
