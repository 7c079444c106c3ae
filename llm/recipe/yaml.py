"""YAML as recipes have it: the core schema of YAML 1.2, with the line of every value.

A scalar keeps its text: the field that it is for decides whether `2024` is a number or a name. The
core schema (YAML 1.2.2, 10.3) has no dates, and `no`, `on` and `1_000` are words.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NOT_A_NUMBER = (".nan", ".NaN", ".NAN")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True} | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
_TAGS = "tag:yaml.org,2002:"
_KNOWN_TAGS = ("str", "int", "float", "bool", "null", "map", "seq")
# Longer numbers are none that a recipe means, and Python takes its time for them.
_MOST_DIGITS = 400
_DEEPEST = 100


@dataclass(frozen=True)
class Place:
    """Where a value stands. file: the path as given, or `--set` and the whole override (line 0).

    folder: what relative paths in it count from, absolute; None: the current folder.
    """

    file: str
    line: int
    folder: Path | None = None

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Scalar:
    """A scalar. plain: without quotation marks or a tag, so that the schema decides what it is."""

    text: str
    plain: bool
    place: Place

    @property
    def value(self) -> bool | int | float | str | None:
        """What the core schema makes of it."""
        return core(self.text) if self.plain else self.text


@dataclass
class Fields:
    """A mapping; its keys are text, as they are written."""

    items: dict[str, "Node"]
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)


@dataclass
class Items:
    """A sequence."""

    items: list["Node"]
    place: Place


@dataclass(frozen=True)
class Unread:
    """The text after `--set field=`: the field's type decides whether it is YAML or text."""

    text: str
    place: Place


Node: TypeAlias = Scalar | Fields | Items | Unread


class BadYAML(ValueError):
    """What is no YAML, or more than recipes have; the message names the place."""


def core(text: str) -> bool | int | float | str | None:
    """A plain scalar's value by the core schema."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) > _MOST_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    for pattern, base in ((_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(text[2:], base)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return -math.inf if infinite[1] == "-" else math.inf
    return math.nan if text in _NOT_A_NUMBER else text


def plain(node: Node) -> Any:
    """A node as the core schema reads it."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Unread):
        return plain(parsed(node))
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(item) for key, item in node.items.items()}


def parsed(node: Unread) -> Node:
    """The text of an override read as YAML. Raises BadYAML."""
    return read(node.text, node.place)


def read(text: str, start: Place) -> Node:
    """The one document of a text. start: its file; line 0 where lines are not counted. Raises BadYAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    try:
        return _Reader(iter(yaml.parse(text)), start).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark is not None and start.line else ""
        said = " ".join(str(error.problem or error.context).split())
        raise BadYAML(f"{start.file}{line}: no valid YAML: {said}") from None
    except (YAMLError, ValueError) as error:
        if isinstance(error, BadYAML):
            raise
        said = " ".join(str(error).split())
        raise BadYAML(f"{start.file}: no valid YAML: {said}") from None
    except RecursionError:
        raise BadYAML(f"{start.file}: nested too deeply for a recipe") from None


class _Reader:
    """Builds nodes from the parser's events."""

    def __init__(self, events: Iterator[Any], start: Place) -> None:
        self.events, self.start = events, start
        self.anchors: dict[str, Node] = {}

    def document(self) -> Node:
        found: Node | None = None
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if found is not None:
                    raise BadYAML(f"{self._place(event)}: a second document begins: write only one")
                found = self._node(next(self.events), 0)
        return found if found is not None else Scalar("", True, self.start)

    def _node(self, event: Any, depth: int) -> Node:
        if depth > _DEEPEST:
            raise BadYAML(f"{self._place(event)}: nested too deeply for a recipe")
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                raise BadYAML(f"{self._place(event)}: there is no anchor &{event.anchor} before it")
            return self.anchors[event.anchor]
        node = self._anew(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _anew(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        tag = self._tag(event, place)
        if isinstance(event, ScalarEvent):
            is_plain = (event.style is None and tag != "str") or tag in (
                "int",
                "float",
                "bool",
                "null",
            )
            return Scalar(event.value, is_plain, place)
        if isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Items(items, place)
        assert isinstance(event, MappingStartEvent)
        found = Fields({}, place)
        merged: list[Node] = []
        while not isinstance(inner := next(self.events), MappingEndEvent):
            key = self._node(inner, depth + 1)
            value = self._node(next(self.events), depth + 1)
            if not isinstance(key, Scalar):
                raise BadYAML(f"{key.place}: a name must be one word, not a list or a section")
            if key.text == "<<" and key.plain:
                merged += value.items if isinstance(value, Items) else [value]
                continue
            if key.text in found.items:
                raise BadYAML(
                    f"{key.place}: {key.text} appears here a second time (first in line "
                    f"{found.keys[key.text].line})"
                )
            found.items[key.text] = value
            found.keys[key.text] = key.place
        for one in merged:
            if not isinstance(one, Fields):
                raise BadYAML(f"{one.place}: << merges a section, and this is not one")
            for name, item in one.items.items():
                if name not in found.items:
                    found.items[name], found.keys[name] = item, one.keys[name]
        return found

    def _tag(self, event: Any, place: Place) -> str:
        tag = str(event.tag or "")
        short = tag.removeprefix("!!").removeprefix(_TAGS)
        if tag in ("", "!", "None"):
            return "str" if tag == "!" else ""
        if short not in _KNOWN_TAGS:
            raise BadYAML(f"{place}: the tag {tag} is not known: write the value alone")
        return short

    def _place(self, event: Any) -> Place:
        if not self.start.line:
            return self.start
        return Place(self.start.file, event.start_mark.line + 1, self.start.folder)
