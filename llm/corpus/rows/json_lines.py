"""JSON of a user's own, read within limits: one way for documents, conversations, questions and sets."""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from llm.corpus.archive.packed import lines

LINE_BYTES = 64_000_000
"""Longest line of a file whose reader has no limit of its own (bytes)."""

# Python's own limit, which keeps a number from taking a time that is quadratic in its digits.
_DIGITS = 4300
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class BadRow(ValueError):
    """A row that is none. reason: a word for counts. details: what is wrong, for people.

    is_list: whether it begins as a list does, as in a file with one list of all rows.
    """

    is_list = False

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason
        self.details = details


def parse(data: bytes | str) -> Any:
    """One JSON value. Raises BadRow for what is no JSON in UTF-8, nested too deeply or too large."""
    try:
        return json.loads(data)
    except UnicodeDecodeError as error:
        raise BadRow("bad_json", f"not UTF-8 ({error.reason}); save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BadRow("bad_json", f"no valid JSON: {error.msg}: {where}") from None
    except RecursionError:
        raise BadRow("bad_json", "JSON that is nested too deeply") from None
    except ValueError:
        said = f"no JSON that can be read: a number of over {_DIGITS} digits"
        raise BadRow("bad_json", said) from None


def json_lines(
    raw: BinaryIO, name: str, limit: int = LINE_BYTES
) -> Iterator[tuple[int, Any | BadRow]]:
    """The rows of a JSON lines file, packed or not, by the number of their line; blank ones are none.

    A row that cannot be read comes as BadRow. Raises what `packed.unpacked` does for the file.
    """
    for number, line in enumerate(lines(raw, name, limit), start=1):
        if line is None:
            yield number, BadRow("too_large", f"over {limit} bytes")
        elif line.strip():
            try:
                yield number, parse(line)
            except BadRow as error:
                error.is_list = line.lstrip().startswith(b"[")
                yield number, error


def whole(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which JSON can hold and UTF-8 cannot."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def whole_value(value: Any) -> Any:
    """A JSON value with every text of it as `whole` has it."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole_value(key): whole_value(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole_value(one) for one in value]
    return value
