"""Which field of a user's row a column is filled from: the one that is named, or a usual name."""

from collections.abc import Mapping
from typing import Any

from llm.examples.columns import TYPES, told
from llm.examples.preferences import settled
from llm.examples.settings import PREFERENCES, Column
from llm.step import BadInput

# Sets of pairs have many names for their two sides; the last is the task's own.
FIRST = ("sentence1", "text1", "text_a", "premise", "question1", "first")
SECOND = ("sentence2", "text2", "text_b", "hypothesis", "question2")
USUAL: Mapping[str, tuple[str, ...]] = {
    "text": ("sentence", "content", "query", "question", "utterance", "review", *FIRST),
    "second": SECOND,
    "label": ("labels", "category", "intent", "class"),
    "value": ("values", "score", "similarity", "rating", "label"),
    "source": ("src", "input"),
    "target": ("tgt", "output"),
    "prompt": ("question", "instruction", "input", "query"),
    "chosen": ("preferred", "better"),
    "rejected": ("dispreferred", "worse"),
}
"""Names that columns are known by in sets of data, in the order in which they are looked for."""


def cells_of(row: Mapping[Any, Any], columns: tuple[Column, ...]) -> tuple[Any, ...]:
    """A row's cell for each column. Raises BadInput naming the field that is wrong or missing."""
    found = tuple(TYPES[column.type].read(row, field_of(row, column)) for column in columns)
    if [column.name for column in columns] == [column.name for column in PREFERENCES]:
        return settled(*found)
    return found


def field_of(row: Mapping[Any, Any], column: Column) -> str | int | None:
    """The field of a row for a column: None where it may do without, or has a layout of its own."""
    if column.field is not None:
        if column.field in row:
            return column.field
        raise BadInput(f"there is no {_wanted(column.field)}; there are {_there(row)}")
    for name in (column.name, *USUAL.get(column.name, ())):
        if name in row and column.type != "messages":
            return name
    if column.optional or column.type == "messages":
        return None
    hint = "" if column.name in row else f", or say which it is: columns: {{{column.name}: FIELD}}"
    raise BadInput(f"found the fields {_there(row)}; wanted is {column.name}{hint}")


def _wanted(field: str | int) -> str:
    return told(field) if isinstance(field, int) else f"field {field!r}"


def _there(row: Mapping[Any, Any]) -> str:
    if row and all(isinstance(name, int) for name in row):
        return f"{len(row)} cells"
    return ", ".join(map(str, row)) or "none"
