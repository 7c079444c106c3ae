"""Lists of archives: paths a line, as Common Crawl publishes them, or ranges from its index."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from llm.corpus.archive.packed import BROKEN, lines
from llm.corpus.sources.addresses import is_address, secret_in
from llm.step import BadInput

# Longer lines are not paths.
_MAX_LINE = 65_536
# Addresses are kept with the documents that come from them.
_LOGIN = "take it out of the list, and let the reader in with the source's headers (env:NAME)"


@dataclass(frozen=True)
class Entry:
    """One archive, or `length` bytes of it from `offset` (None: all of it).

    place: an address or a path. name: how it is called in positions and failures.
    """

    place: str
    name: str
    offset: int = 0
    length: int | None = None


def read_list(stream: BinaryIO, name: str, base: str) -> Iterator[Entry]:
    """The archives that a list (plain or packed) names, below `base` where they are relative.

    A line is a path, a JSON object with filename, offset and length, or one after other words
    (CDXJ). Empty lines do not count. Raises BadInput for anything else, naming the line.
    """
    try:
        for number, line in enumerate(lines(stream, name, _MAX_LINE), start=1):
            if line is None:
                raise BadInput(f"{name}, line {number}: over {_MAX_LINE} bytes: this is not a list")
            text = line.decode("utf-8", "replace").strip()
            if text:
                yield _entry(text, f"{name}, line {number}", base)
    except BROKEN as error:
        raise BadInput(f"the list {name} cannot be read: {error}") from error


def _entry(text: str, where: str, base: str) -> Entry:
    _, brace, rest = text.partition("{")
    if not brace and (said := secret_in(text)):
        raise BadInput(f"{where}: the address holds {said}: {_LOGIN}")
    if not brace:
        return Entry(_join(base, text, where), text)
    try:
        row: Any = json.loads(brace + rest)
        name, offset, length = str(row["filename"]), int(row["offset"]), int(row["length"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{where}: needs filename, offset and length ({type(error).__name__}: {error})"
        ) from None
    if said := secret_in(name):
        raise BadInput(f"{where}: the address holds {said}: {_LOGIN}")
    if offset < 0 or length <= 0:
        raise BadInput(f"{where}: offset {offset} and length {length} are not a range")
    return Entry(_join(base, name, where), name, offset, length)


def _join(base: str, name: str, where: str) -> str:
    if is_address(name):
        return name
    if is_address(base):
        return f"{base.rstrip('/')}/{name.lstrip('/')}"
    path = Path(base) / name
    if not path.resolve().is_relative_to(Path(base).resolve()):
        raise BadInput(
            f"{where}: {name!r} lies outside of {base!r}: set `base` to a folder that holds all of the "
            "archives"
        )
    return str(path)
