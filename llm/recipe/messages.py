"""What is wrong with a recipe, for people: the field as their file has it, what it allows, the line."""

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from llm.recipe.reference import fields_of
from llm.recipe.values import Setting, is_section, members, settings_of, tag_field, tag_of
from llm.recipe.yaml import Fields, Items, Node, Place, Scalar, Unread, plain

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_keyword_only_argument", "missing_argument")
_LONGEST = 60  # characters of a value that are shown
_FEW = 8  # names that are listed where one is not known
# Sections whose values may be secrets that somebody wrote down by mistake.
_SECRET = ("headers",)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong. fields: the paths that it is about, the one to blame first."""

    fields: tuple[str, ...]
    message: str


class Problems(ValueError):
    """What rules found, raised where pydantic validates."""

    def __init__(self, found: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in found))
        self.found = tuple(found)


@dataclasses.dataclass(frozen=True)
class _Found:
    """Where an error's location leads: path, declared type, field, and what the file has there."""

    path: tuple[str, ...]
    annotation: Any
    setting: Setting | None
    section: Any
    node: Node | None
    place: Place | None


def told(problem: Problem, tree: Node | None) -> str:
    """A problem with the places of the fields that it names, as far as the file has them."""
    places = dict.fromkeys(str(place) for name in problem.fields for place in _places(name, tree))
    return problem.message + (f" ({'; '.join(places)})" if places else "")


def explained(root: type, errors: Iterable[Mapping[str, Any]], tree: Node) -> list[str]:
    """A line for each error of pydantic's, each field once."""
    lines: dict[str, str] = {}
    for error in errors:
        held = error.get("ctx", {}).get("error")
        if isinstance(held, Problems):
            for problem in held.found:
                lines.setdefault(problem.message, told(problem, tree))
            continue
        if error["type"] in _MISSING and isinstance(error["loc"][-1], int):
            error = {**error, "type": "too_short", "loc": error["loc"][:-1]}
        found = _follow(root, error["loc"], tree)
        # What is wrong with a part of a section explains what is wrong with the section.
        lines.setdefault(".".join(found.path) + (error["type"] == "value_error") * error["msg"],
                         _line(root, error, found))  # fmt: skip
    return list(lines.values())


def _line(root: type, error: Mapping[str, Any], found: _Found) -> str:
    at = f" ({found.place})" if found.place is not None else ""
    where = ".".join(found.path) or "recipe"
    kind = error["type"]
    if kind in _UNKNOWN:
        return f"{where}: no such field{_hint(root, error, found)}{at}"
    if kind in _MISSING:
        said = found.setting.description if found.setting is not None else ""
        first = said.partition(". ")[0].rstrip(".")
        return f"{where}: is missing" + (f": {first[:1].lower()}{first[1:]}" if said else "") + at
    if kind == "value_error":
        at = f" ({_mentioned(error['msg'], found.node) or found.place})" if at else ""
        return f"{_joined(where, error['msg'].removeprefix('Value error, '))}{at}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        sections = members(found.annotation)[0]
        field, kinds = tag_field(sections[0]), sorted(tag_of(one) for one in sections)
        if kind == "union_tag_not_found":
            return f"{where}.{field}: is missing: choose {_either(kinds)}{at}"
        given = str(error["ctx"]["tag"])
        return f"{where}.{field}: must be {_either(kinds)}, not {given!r}{_close(given, kinds)}{at}"
    given = _given(found, error)
    if kind == "string_pattern_mismatch" and found.setting is not None:
        return f"{where}: {given} is not allowed. {found.setting.description.rstrip('.')}{at}"
    if kind in ("too_short", "string_too_short") and not error.get("input"):
        return f"{where}: must not be empty{at}"
    wanted = describe(found.annotation, found.setting)
    choices = _choices(members(found.annotation)[0])
    close = _close(str(error.get("input")), choices) if choices else ""
    shown = "" if set(_SECRET) & set(found.path) else f", not {given}"
    return f"{where}: must be {wanted}{shown}{close}{at}"


def _joined(where: str, message: str) -> str:
    """`pretrain.model: heads ...` for a message of that section that names it again."""
    last = where.rpartition(".")[2]
    for before in (f"{where}: ", f"{last}: ", f"{where}."):
        if message.startswith(before):
            rest = message.removeprefix(before)
            return f"{where}.{rest}" if before.endswith(".") else f"{where}: {rest}"
    return message if where == "recipe" else f"{where}: {message}"


def _mentioned(message: str, node: Node | None) -> Place | None:
    """Where the first field stands that a section's message names."""
    if isinstance(node, Fields):
        for word in re.findall(r"\w+", message):
            if word in node.keys:
                return node.keys[word]
    return None


def describe(annotation: Any, setting: Setting | None = None) -> str:
    """What a field allows, in words: `a whole number of at least 1`."""
    kinds, nullable = members(annotation)
    bounds = _bounds(setting.metadata if setting is not None else {})
    words = []
    sections = [kind for kind in kinds if is_section(kind)]
    if len(sections) > 1:
        kinds = [kind for kind in kinds if not is_section(kind)]
        tags = _either(sorted(map(tag_of, sections)))
        words.append(f"a section whose {tag_field(sections[0])} is {tags}")
    choices = _choices(kinds)
    if choices:
        words.append(_either(choices))
    for kind in kinds:
        word = _word(kind, bounds)
        if word and word not in words:
            words.append(word)
    return _either([*words, *(["null"] if nullable else [])])


def _word(kind: Any, bounds: str) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        return "true or false"
    if kind is int:
        return f"a whole number{bounds}"
    if kind is float:
        return f"a number{bounds}"
    if kind is str:
        return "text"
    if is_section(kind):
        return f"a section with {_listed(list(settings_of(kind)))}"
    if origin is dict:
        return f"a section with a name for each {_one(inner[1])}"
    if origin is tuple and inner[-1] is Ellipsis:
        choices = _choices(members(inner[0])[0])
        return (
            f"a list with any of {_either(choices)}" if choices else f"a list of {_many(inner[0])}"
        )
    if origin is tuple:
        return f"a list of {len(inner)} numbers"
    return ""


def _one(annotation: Any) -> str:
    kinds, _ = members(annotation)
    return "section" if any(map(is_section, kinds)) else "value"


def _many(annotation: Any) -> str:
    kinds, _ = members(annotation)
    if any(map(is_section, kinds)):
        return "sections"
    return "numbers" if set(kinds) & {int, float} else "text, such as [a, b]"


def _bounds(metadata: Mapping[str, Any]) -> str:
    low = high = ""
    if "ge" in metadata:
        low = f"{_number(metadata['ge'])}"
    if "le" in metadata:
        high = f"{_number(metadata['le'])}"
    if "gt" in metadata:
        said = f" above {_number(metadata['gt'])}"
        return said + (f" and up to {high}" if high else _below(metadata, " and"))
    if low and high:
        return f" from {low} to {high}"
    if low and "lt" in metadata:
        return f" from {low} to below {_number(metadata['lt'])}"
    if low:
        return f" of at least {low}"
    return f" of at most {high}" if high else _below(metadata, "")


def _below(metadata: Mapping[str, Any], before: str) -> str:
    return f"{before} below {_number(metadata['lt'])}" if "lt" in metadata else ""


def _number(value: float) -> str:
    return f"{value:,}"


def _choices(kinds: Sequence[Any]) -> list[str]:
    literals = [typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is Literal]
    return [str(choice) for group in literals for choice in group]


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _listed(names: Sequence[str]) -> str:
    if len(names) > _FEW:
        return f"{', '.join(names[:_FEW])} and others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _close(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    return f": did you mean {close[0]}?" if close else ""


def _given(found: _Found, error: Mapping[str, Any]) -> str:
    """What stands in the file, shortened."""
    node = found.node
    if isinstance(node, Fields):
        return "a section"
    if isinstance(node, Items):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if isinstance(node, Scalar) and (node.value is None or not isinstance(node.value, str)):
        return "null" if node.value is None else node.text
    value = node.text if isinstance(node, Scalar | Unread) else error.get("input")
    if value is None or isinstance(value, dict | list | tuple) or dataclasses.is_dataclass(value):
        return "null" if value is None else "a section" if isinstance(value, dict) else "a list"
    text = value if isinstance(value, str) else repr(value)
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return repr(short) if isinstance(value, str) else short


def _follow(root: type, location: Sequence[Any], tree: Node | None) -> _Found:
    """Walk an error's location: it also names tags of sections and types that have no name in a file."""
    found = _Found((), root, None, root, tree, None)
    for part in location:
        kinds, _ = members(found.annotation) if found.annotation is not None else ([], False)
        sections = [kind for kind in kinds if is_section(kind)]
        if len(sections) > 1:
            chosen = next((one for one in sections if tag_of(one) == part), None)
            if chosen is not None:
                found = dataclasses.replace(found, annotation=chosen, section=chosen)
                continue
        if part == "[key]":
            continue
        if sections:
            section = sections[0]
            setting = settings_of(section).get(str(part)) or _by_field(section, str(part))
            annotation = setting.annotation if setting is not None else None
            name = setting.name if setting is not None else str(part)
            found = _step(found, name, annotation, setting, section)
            continue
        inner = [typing.get_args(one) for one in kinds if typing.get_origin(one) in (dict, tuple)]
        mapping = any(typing.get_origin(one) is dict for one in kinds)
        if isinstance(part, int) and inner and not mapping:
            of = inner[0][0] if inner[0][-1] is Ellipsis else inner[0][min(part, len(inner[0]) - 1)]
            found = _step(found, part, of, None, found.section)
        elif mapping:
            found = _step(found, str(part), inner[0][1], None, found.section)
        elif len(kinds) > 1:
            continue  # the name of one of several types
        else:
            found = _step(found, part, None, None, found.section)
    section = next((one for one in members(found.annotation)[0] if is_section(one)), None) \
        if found.annotation is not None else None  # fmt: skip
    return dataclasses.replace(found, section=section or found.section)


def _by_field(section: type, name: str) -> Setting | None:
    """A field by its name in Python, where a recipe calls it something else."""
    for field in dataclasses.fields(section) if dataclasses.is_dataclass(section) else ():
        if field.name == name:
            return settings_of(section)[field.metadata.get("alias", name)]
    return None


def _step(
    found: _Found, part: Any, annotation: Any, setting: Setting | None, section: Any
) -> _Found:
    node, place = _below_node(found.node, part)
    return _Found(
        (*found.path, str(part)), annotation, setting, section, node, place or found.place
    )


def _below_node(node: Node | None, part: Any) -> tuple[Node | None, Place | None]:
    if isinstance(node, Fields) and str(part) in node.items:
        return node.items[str(part)], node.keys.get(str(part), node.items[str(part)].place)
    if isinstance(node, Items) and str(part).isdigit() and int(part) < len(node.items):
        return node.items[int(part)], node.items[int(part)].place
    return None, None


def _places(path: str, tree: Node | None) -> Iterator[Place]:
    """Where a field stands: the nearest of its sections that the file has, the field itself at best."""
    node, place = tree, None
    parts = path.split(".")
    while parts:
        # The name of a host has dots itself.
        for count in range(1, len(parts) + 1):
            inner, here = _below_node(node, ".".join(parts[:count]))
            if here is not None:
                node, place, parts = inner, here, parts[count:]
                break
        else:
            return  # the field has its default
    if place is not None:
        yield place


def _hint(root: type, error: Mapping[str, Any], found: _Found) -> str:
    """What a field that is not known may mean."""
    parents = _follow(root, error["loc"][:-1], None)
    known = sorted(settings_of(parents.section))
    close = difflib.get_close_matches(found.path[-1], known, n=1)
    given = plain(found.node) if found.node is not None else error.get("input")
    close = close or _nearest(root, ".".join(found.path), given)
    if close:
        return f": did you mean {' or '.join(close)}?"
    return f"; known are {', '.join(known)}"


def _nearest(root: type, where: str, given: Any) -> list[str]:
    """Paths of real fields that a path may mean whose sections are wrong or left out, three at most.

    Those whose last name is the path's, in the sections that its other names are part of.
    """
    path = where.split(".")
    while isinstance(given, dict) and given:
        name, given = next(iter(given.items()))
        path.append(str(name))
    ranked: dict[str, tuple[bool, int]] = {}
    listed = list(fields_of(root))
    for field in listed:
        parts = field.path.split(".")
        if parts[-1] == path[-1]:
            part_of = sum(any(name in part for part in parts[:-1]) for name in path[:-1])
            ranked[field.path] = (parts[0] == path[0], part_of)
    best = max(ranked.values(), default=None)
    kinds = {field.path: field.type for field in listed}
    return [_as_written(kinds, one) for one, rank in ranked.items() if rank == best][:3]


def _as_written(kinds: Mapping[str, str], path: str) -> str:
    """A field's path as it is written, through the keys of mappings."""
    parts = []
    *above, last = path.split(".")
    for depth, name in enumerate(above, start=1):
        parts.append(name)
        if kinds.get(".".join(above[:depth]), "").startswith("dict["):
            parts.append("<name>")
    return ".".join([*parts, last])
