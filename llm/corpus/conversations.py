"""Conversations of a user's own, from JSON lines in the layouts that are common for them."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from llm.step import BadInput

Messages = list[dict[str, str]]

ROLES = ("system", "user", "assistant")
LAYOUTS = "messages, prompt and response, or instruction, input and output"


def read_conversations(path: Path) -> Iterator[tuple[Messages, str]]:
    """The conversations of a JSONL file (plain, .gz or .zst), each with its `url` ("" without one).

    Blank lines are passed over. Raises BadInput naming the file and the line.
    """
    number = 0
    try:
        with _open(path) as stream:
            for line in stream:
                number += 1
                if line.strip():
                    yield _read_line(line, f"{path.name}, line {number}")
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise BadInput(f"{path} cannot be read after line {number}: {error}") from error


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        raw = path.open("rb")
        decompressor = zstandard.ZstdDecompressor()
        return io.BufferedReader(
            cast(
                io.RawIOBase, decompressor.stream_reader(raw, closefd=True, read_across_frames=True)
            )
        )
    return path.open("rb")


def _read_line(line: bytes, place: str) -> tuple[Messages, str]:
    """One conversation and its URL. Raises BadInput that begins with `place`."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise BadInput(f"an object with {LAYOUTS} is wanted, not {type(row).__name__}")
        messages = _messages(row)
        _check(messages)
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: no UTF-8 ({error.reason}); save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{place}: no valid JSON ({error.msg}); put one object on each line"
        ) from None
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
