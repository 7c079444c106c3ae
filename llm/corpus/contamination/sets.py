"""Evaluation sets as the recipe names them: which files, and which texts make up an item."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llm.corpus.contamination.sets_settings import DecontaminateSettings, EvaluationSet
from llm.corpus.rows.by_ending import numbered_rows
from llm.corpus.rows.json_lines import BadRow, whole_value
from llm.corpus.rows.units import unit
from llm.corpus.sources.files import expand
from llm.step import BadInput

# What an item's field often begins with, and a copy on the web does not.
_LABEL = re.compile(r"^\s*(?:question|query|context|passage|premise|problem|[qa])\s*:\s*", re.I)


@dataclass(frozen=True)
class Item:
    """An item of an evaluation set. texts: what it may look like in a document, the whole first.

    parts: fields of it that are looked for on their own if they are long enough.
    """

    set: str
    name: str
    texts: tuple[str, ...]
    parts: tuple[str, ...]


def evaluation_files(settings: DecontaminateSettings) -> list[Path]:
    """The files of all sets, sorted, each once. Raises BadInput where a set has none."""
    return sorted({path for one in settings.sets.values() for path in _expanded(one)})


def items(settings: DecontaminateSettings, files: Iterable[Path]) -> Iterator[Item]:
    """All items of all sets, in the order of the sets' names, from those of their files given here.

    Raises BadInput where a file cannot be read, a field is missing or a set has no item.
    """
    given = {path.resolve() for path in files}
    for name, one in sorted(settings.sets.items()):
        paths = [path for path in _expanded(one) if path.resolve() in given]
        number = 0
        for path in paths:
            for place, row in _rows(path):
                number += 1
                texts, parts = _texts(whole_value(row), one.fields, place)
                if texts:
                    named = row.get(one.id) if isinstance(row, Mapping) else None
                    yield Item(name, str(number if named is None else named), texts, parts)
        if not number:
            raise BadInput(f"evaluation set {name!r} has no item: check {one.path!r}")


def first_items(settings: DecontaminateSettings, files: Iterable[Path]) -> None:
    """Look at the first item of each file of each set. Raises BadInput as `items` does."""
    given = {path.resolve() for path in files}
    for one in settings.sets.values():
        for path in _expanded(one):
            if path.resolve() in given:
                for place, row in islice(_rows(path), 1):
                    _texts(whole_value(row), one.fields, place)


def _expanded(one: EvaluationSet) -> list[Path]:
    path = Path(one.path).expanduser()
    if path.is_dir():
        return sorted(item for item in path.iterdir() if item.is_file())
    return expand(one.path)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a file with the places where they stand: mappings, or lines of a text."""
    for number, row in numbered_rows(path):
        place = f"{path}, {unit(path)} {number}"
        if isinstance(row, BadRow):
            raise BadInput(f"{place} cannot be read ({row.details}): correct the file")
        yield place, row


def _texts(row: Any, fields: Sequence[str], place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """An item's texts and parts.

    Of a question with choices, a copy holds all of them or one: {"query": "Q", "choices": ["a", "b"]}
    gives the texts "Q a b", "Q a", "Q b" and the parts "Q", "a", "b".
    """
    if isinstance(row, str):
        return (row.strip(),), ()
    if not isinstance(row, Mapping):
        raise BadInput(f"{place} is not an object but {type(row).__name__}: correct the file")
    if not fields:
        raise BadInput(
            f"{place} has the fields {', '.join(map(str, row))}: name those of its text in `fields`"
        )
    values = [_values(row, name, place) for name in fields]
    texts = ["\n".join(text for value in values for text in value)]
    for number, value in enumerate(values):
        if len(value) > 1:
            for text in value:
                chosen = [*values[:number], [text], *values[number + 1 :]]
                texts.append("\n".join(one for some in chosen for one in some))
    parts = [text for value in values for text in value] if len(fields) > 1 else []
    full = [text for text in dict.fromkeys(texts) if text.strip()]
    return tuple(full), tuple(part for part in dict.fromkeys(parts) if part.strip())


def _values(row: Mapping[str, Any], name: str, place: str) -> list[str]:
    """The texts of a field, without a label such as "Question:"."""
    value: Any = row.get(name)
    if name not in row:
        value = row
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                there = ", ".join(map(str, row))
                raise BadInput(f"{place} has no field {name!r}; there are: {there}")
            value = value[part]
    listed = value if isinstance(value, list | tuple) else [value]
    return [_LABEL.sub("", str(one)).strip() for one in listed if one is not None]
