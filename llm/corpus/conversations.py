"""Conversations of a user's own, from JSON lines in the layouts that are common for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm.corpus.archive.packed import BROKEN
from llm.corpus.rows.json_lines import LINE_BYTES, BadRow, json_lines, whole_value
from llm.step import BadInput

Messages = list[dict[str, str]]

ROLES = ("system", "user", "assistant")
LAYOUTS = "messages, prompt and response, or instruction, input and output"


def read_conversations(path: Path) -> Iterator[tuple[Messages, str]]:
    """The conversations of a JSONL file (plain, .gz, .zst, .xz or .bz2), each with its `url` ("" without one).

    Blank lines are passed over. Raises BadInput naming the file and the line.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            for number, row in json_lines(raw, path.name, LINE_BYTES):
                yield _read_row(row, f"{path.name}, line {number}")
    except BROKEN as error:
        raise BadInput(f"{path} cannot be read after line {number}: {error}") from error


def _read_row(row: Any, place: str) -> tuple[Messages, str]:
    """One conversation and its URL. Raises BadInput that begins with `place`."""
    try:
        if isinstance(row, BadRow):
            raise BadInput(f"{row.details}; put one object on each line")
        if not isinstance(row, dict):
            raise BadInput(f"an object with {LAYOUTS} is wanted, not {type(row).__name__}")
        row = whole_value(row)
        messages = _messages(row)
        _check(messages)
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None
    url = row.get("url")
    return messages, url if isinstance(url, str) else ""


def _messages(row: dict[str, Any]) -> Messages:
    """The row's messages, whichever of the layouts it has."""
    if "messages" in row:
        if not isinstance(row["messages"], list):
            raise BadInput(f"messages must be a list, not {type(row['messages']).__name__}")
        for place, message in enumerate(row["messages"]):
            if not isinstance(message, dict):
                raise BadInput(f"message {place} must be an object with role and content")
        return [
            {"role": message.get("role"), "content": message.get("content")}
            for message in row["messages"]
        ]
    if "prompt" in row and "response" in row:
        return _pair(row["prompt"], row["response"])
    if "instruction" in row and "output" in row:
        question, given = row["instruction"], row.get("input")
        if isinstance(given, str) and given.strip() and isinstance(question, str):
            question = f"{question.rstrip()}\n\n{given}"
        return _pair(question, row["output"])
    raise BadInput(f"found the fields {', '.join(row) or 'none'}; wanted are {LAYOUTS}")


def _pair(question: Any, answer: Any) -> Messages:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _check(messages: Messages) -> None:
    for place, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise BadInput(f"message {place}: role {role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(content, str) or not content.strip():
            shown = "empty" if isinstance(content, str) else type(content).__name__
            raise BadInput(f"message {place} ({role}): the content must be text, it is {shown}")
    if not any(message["role"] == "assistant" for message in messages):
        raise BadInput("there is no answer: no message has the role assistant")
