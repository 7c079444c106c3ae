"""The types of columns that examples have: how a cell is read, stored, and told from another.

A task declares its columns by name and type (`llm.examples.settings.Column`). `TYPES` says of each
type what a row of the user's must hold for it, and what of a cell asks and what answers: an example
is held out only where training has neither its question nor its answer.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from llm.examples.conversations import Messages, read_list, read_messages
from llm.step import BadInput
from llm.tokens import arrow


class ColumnType(Protocol):
    """What each of `TYPES` does. A cell is what one example has in the column."""

    arrow: pa.DataType

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> Any:
        """The cell of a user's row; field: where it is, None where the row has none.

        Raises BadInput that says what is wrong and wanted.
        """

    def characters(self, cell: Any) -> int:
        """How large a cell is (characters)."""

    def question(self, cell: Any) -> str:
        """What the model is asked first, by which examples without an address are split."""

    def asked(self, cell: Any) -> str:
        """All that the model is given before its first answer; "" where others may share it."""

    def answered(self, cell: Any) -> str:
        """What it is to say last; "" where there is nothing, or others may share it."""

    def column(self, cells: Sequence[Any]) -> pa.Array:
        """Cells as an Arrow array (N,)."""

    def cells(self, column: pa.Array) -> list[Any]:
        """The cells of an Arrow array (N,)."""


FEWEST_WORDS = 3
"""Shorter openings and answers of conversations (`Hello`, `Yes.`) are nobody's own (words)."""


class _Messages:
    """A conversation: a list of {"role", "content"}, and "train" of messages that say it."""

    arrow = pa.large_list(
        pa.struct(
            [("role", pa.large_string()), ("content", pa.large_string()), ("train", pa.bool_())]
        )
    )

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> Messages:
        return read_messages(row if field is None else {"messages": row[field]})

    def characters(self, cell: Messages) -> int:
        return sum(len(message["content"]) for message in cell)

    def question(self, cell: Messages) -> str:
        return next((one["content"] for one in cell if one["role"] == "user"), "")

    def asked(self, cell: Messages) -> str:
        roles = [message["role"] for message in cell]
        return _own("\n".join(one["content"] for one in cell[: roles.index("assistant")]))

    def answered(self, cell: Messages) -> str:
        return _own(next(one["content"] for one in reversed(cell) if one["role"] == "assistant"))

    def column(self, cells: Sequence[Messages]) -> pa.Array:
        inner = pa.StructArray.from_arrays(
            [
                *(
                    arrow.texts([message[field] for cell in cells for message in cell])
                    for field in ("role", "content")
                ),
                pa.array([one.get("train") for cell in cells for one in cell], pa.bool_()),
            ],
            names=["role", "content", "train"],
        )
        offsets = np.zeros(len(cells) + 1, np.int64)
        np.cumsum([len(cell) for cell in cells], out=offsets[1:])
        return pa.LargeListArray.from_arrays(arrow.numbers(offsets), inner)

    def cells(self, column: pa.Array) -> list[Messages]:
        inner = column.flatten()
        fields = [inner.field(name).to_pylist() for name in ("role", "content", "train")]
        messages = [
            {"role": role, "content": content}
            if train is None
            else {"role": role, "content": content, "train": train}
            for role, content, train in zip(*fields, strict=True)
        ]
        ends = np.cumsum(arrow.values(column.value_lengths())).tolist()
        return [messages[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


class _Turns(_Messages):
    """A part of a conversation: what is asked, or an answer to it."""

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> Any:
        """A text as it stands, or messages: `preferences.settled` makes messages of all."""
        if field is None:
            return ""
        cell = row[field]
        if isinstance(cell, list):
            return read_list(told(field), cell)
        if not isinstance(cell, str):
            raise BadInput(f"{told(field)} must be text or messages, not {type(cell).__name__}")
        if not cell.strip():
            raise BadInput(f"{told(field)} must be text or messages, it is empty")
        return cell

    def asked(self, cell: Messages) -> str:
        return _own("\n".join(one["content"] for one in cell))

    def answered(self, cell: Messages) -> str:
        return ""


def _own(text: str) -> str:
    return text if len(text.split()) >= FEWEST_WORDS else ""


class _Text:
    """One text, as it stands in the user's row."""

    arrow = pa.large_string()

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> str:
        if field is None:
            return ""
        text = row[field]
        if not isinstance(text, str):
            raise BadInput(f"{told(field)} must be text, not {type(text).__name__}")
        if not text.strip():
            raise BadInput(f"{told(field)} must be text, it is empty")
        return text

    def characters(self, cell: str) -> int:
        return len(cell)

    def question(self, cell: str) -> str:
        return cell

    def asked(self, cell: str) -> str:
        return cell

    def answered(self, cell: str) -> str:
        return ""

    def column(self, cells: Sequence[str]) -> pa.Array:
        return arrow.texts(cells)

    def cells(self, column: pa.Array) -> list[str]:
        found: list[str] = column.to_pylist()
        return found


class _Labels:
    """The labels of an example: one, several, or none of them."""

    arrow = pa.large_list(pa.large_string())

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> list[str]:
        assert field is not None, "no task can do without its labels"
        cell = row[field]
        return [_label(one, field) for one in (cell if isinstance(cell, list) else [cell])]

    def characters(self, cell: list[str]) -> int:
        return sum(map(len, cell))

    def question(self, cell: list[str]) -> str:
        return ""

    def asked(self, cell: list[str]) -> str:
        return ""

    def answered(self, cell: list[str]) -> str:
        return ""

    def column(self, cells: Sequence[list[str]]) -> pa.Array:
        offsets = np.cumsum([0, *map(len, cells)])
        flat = arrow.texts([one for cell in cells for one in cell])
        return pa.LargeListArray.from_arrays(arrow.numbers(offsets), flat)

    def cells(self, column: pa.Array) -> list[list[str]]:
        found: list[list[str]] = column.to_pylist()
        return found


def _label(value: Any, field: str | int) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, bool | int):  # True is "true", as JSON writes it
        return str(value).lower() if isinstance(value, bool) else str(value)
    shown = "empty" if isinstance(value, str) else type(value).__name__
    raise BadInput(f"{told(field)} must be a label, text or a whole number; it is {shown}")


class _Numbers:
    """One value or several of an example."""

    arrow = pa.large_list(pa.float64())

    def read(self, row: Mapping[Any, Any], field: str | int | None) -> list[float]:
        assert field is not None, "no task can do without its numbers"
        cell = row[field]
        found = cell if isinstance(cell, list) else [cell]
        if not found:
            raise BadInput(f"{told(field)} must be a number or several, the list is empty")
        return [_number(one, field) for one in found]

    def characters(self, cell: list[float]) -> int:
        return 8 * len(cell)

    def question(self, cell: list[float]) -> str:
        return ""

    def asked(self, cell: list[float]) -> str:
        return ""

    def answered(self, cell: list[float]) -> str:
        return ""

    def column(self, cells: Sequence[list[float]]) -> pa.Array:
        offsets = np.cumsum([0, *map(len, cells)])
        flat = np.array([one for cell in cells for one in cell], np.float64)
        return pa.LargeListArray.from_arrays(arrow.numbers(offsets), arrow.numbers(flat))

    def cells(self, column: pa.Array) -> list[list[float]]:
        found: list[list[float]] = column.to_pylist()
        return found


def _number(value: Any, field: str | int) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
    except ValueError:
        shown = repr(value) if isinstance(value, str) else type(value).__name__
        raise BadInput(f"{told(field)} must be a number, it is {shown:.60}") from None
    if not math.isfinite(found):
        raise BadInput(f"{told(field)} must be a finite number, it is {value!r:.60}")
    return found


def told(field: str | int) -> str:
    """A field for people."""
    return field if isinstance(field, str) else f"cell {field}"


TYPES: Mapping[str, ColumnType] = {
    "messages": _Messages(),
    "turns": _Turns(),
    "text": _Text(),
    "labels": _Labels(),
    "numbers": _Numbers(),
}
