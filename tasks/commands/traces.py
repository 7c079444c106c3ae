"""Taking addresses and quotations out of what is kept about runs: their records and logs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llm import durable
from llm.corpus.erasure.exclusions import Exclusions
from tasks.commands.quotes import Quotes
from tasks.commands.search import unpacked
from tasks.engine.home import Home

INSTEAD = "(taken down)"


def telling(covered: Exclusions, quotes: Quotes) -> Callable[[bytes], bool]:
    """Whether bytes, packed or not, name a covered address or quote a text."""

    def tells(body: bytes) -> bool:
        return any(
            quotes.within(data) or covered.covers_some(data.decode("utf8", "replace"))
            for data in unpacked(body)
        )

    return tells


def clear_records(home: Home, covered: Exclusions, quotes: Quotes) -> list[str]:
    """Blank what run records tell of it, and what waits for a server; returns the files that did."""

    def change(name: str, text: str) -> str:
        values = text.split("\n") if name.endswith(".jsonl") else [text]
        return "\n".join(_blanked_json(value, covered, quotes) for value in values)

    cleared = home.runs.rewrite(change)
    for path in sorted(home.untold.glob("*.json")):
        before = path.read_text("utf8", "surrogateescape")
        after = change(path.name, before)
        if after != before:
            durable.write_bytes(path, after.encode("utf8", "surrogateescape"))
            cleared.append(str(path))
    return cleared


def _blanked_json(text: str, covered: Exclusions, quotes: Quotes) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return blanked(text, covered, quotes)  # damaged: as it stands
    after = _walked(value, covered, quotes)
    return text if after == value else json.dumps(after, indent=None, ensure_ascii=False)


def _walked(value: Any, covered: Exclusions, quotes: Quotes) -> Any:
    if isinstance(value, str):
        return blanked(value, covered, quotes)
    if isinstance(value, list):
        return [_walked(one, covered, quotes) for one in value]
    if isinstance(value, dict):
        return {name: _walked(one, covered, quotes) for name, one in value.items()}
    return value


def blanked(text: str, covered: Exclusions, quotes: Quotes) -> str:
    """A text about a run without covered addresses; nothing of one that quotes a document."""
    if quotes.within(text.encode("utf8", "replace")):
        return INSTEAD
    return covered.without(text, INSTEAD)


def clear_logs(home: Home, covered: Exclusions, quotes: Quotes) -> list[str]:
    """Blank the lines of logs that tell of it, in place: a server may be writing to them."""
    cleared = []
    for path in _logs(home):
        data = path.read_bytes()
        lines = data.split(b"\n")
        after = [_blanked_line(line, covered, quotes) for line in lines]
        if after != lines:
            with path.open("r+b") as stream:
                stream.write(b"\n".join(after))
                stream.truncate()
            cleared.append(str(path))
    return cleared


def _blanked_line(line: bytes, covered: Exclusions, quotes: Quotes) -> bytes:
    text = line.decode("utf8", "surrogateescape")
    after = covered.without(text, INSTEAD)
    return INSTEAD.encode() if quotes.within(line) else after.encode("utf8", "surrogateescape")


def _logs(home: Home) -> Iterator[Path]:
    yield from sorted((home.folder / "logs").glob("*"))
