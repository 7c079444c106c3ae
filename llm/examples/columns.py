"""The types of columns that examples have: how a cell is read, stored, and told from another.

A task declares its columns by name and type (`llm.examples.settings.Column`). `TYPES` says of each
type what a row of the user's must hold for it, and what of a cell asks and what answers: an example
is held out only where training has neither its question nor its answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from llm.examples.conversations import Messages, read_messages
from llm.step import BadInput
from llm.tokens import arrow


class ColumnType(Protocol):
    """What each of `TYPES` does. A cell is what one example has in the column."""

    arrow: pa.DataType

    def read(self, row: Mapping[str, Any], name: str) -> Any:
        """The cell of a user's row. Raises BadInput that says what is wrong and wanted."""

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
    """A conversation: a list of {"role", "content"}."""

    arrow = pa.large_list(pa.struct([("role", pa.large_string()), ("content", pa.large_string())]))

    def read(self, row: Mapping[str, Any], name: str) -> Messages:
        return read_messages(row)

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
                arrow.texts([message[field] for cell in cells for message in cell])
                for field in ("role", "content")
            ],
            names=["role", "content"],
        )
        offsets = np.zeros(len(cells) + 1, np.int64)
        np.cumsum([len(cell) for cell in cells], out=offsets[1:])
        return pa.LargeListArray.from_arrays(arrow.numbers(offsets), inner)

    def cells(self, column: pa.Array) -> list[Messages]:
        inner = column.flatten()
        roles, contents = (inner.field(name).to_pylist() for name in ("role", "content"))
        messages = [
            {"role": role, "content": content}
            for role, content in zip(roles, contents, strict=True)
        ]
        ends = np.cumsum(arrow.values(column.value_lengths())).tolist()
        return [messages[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _own(text: str) -> str:
    return text if len(text.split()) >= FEWEST_WORDS else ""


class _Text:
    """One text, as it stands in the user's row."""

    arrow = pa.large_string()

    def read(self, row: Mapping[str, Any], name: str) -> str:
        text = row.get(name)
        if name not in row:
            there = ", ".join(map(str, row)) or "none"
            raise BadInput(f"found the fields {there}; wanted is {name}")
        if not isinstance(text, str):
            raise BadInput(f"{name} must be text, not {type(text).__name__}")
        if not text.strip():
            raise BadInput(f"{name} must be text, it is empty")
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


TYPES: Mapping[str, ColumnType] = {"messages": _Messages(), "text": _Text()}
