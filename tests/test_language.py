"""Plain, idiomatic English: phrases over which a stranger stumbles are in no document, message or comment."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("llm", "tasks", "flows", "benchmarks")
PAGES = ("README.md", "docs/*.md", "recipes/*.yaml", "deploy/*", "prefect.yaml", "Makefile")

# What not to write, and what to write in its place.
STUMBLED_OVER = {
    r"\banew\b": "again",
    r"\bhangs on\b": "depends on",
    r"\bgoes before\b": "overrides",
    r"\bso many\b": "this many, N",
    r"\bwhat is named\b": "the noun",
}
# In pages and help texts alone: comments may still say so of a loop that goes on.
STUMBLED_OVER_IN_PAGES = {
    r"\b(goes|go|gone|going) on (from|with)\b": "continues",
    r"\bis told (of|by)\b": "learns, reports",
    r"\bis no (file|folder|model|address|name|list)\b": "is not a",
}


def found(text: str, phrases: dict[str, str]) -> list[str]:
    """Lines with a phrase, each with what to write in its place."""
    return [
        f"{number}: {match[0]} (write: {better})"
        for phrase, better in phrases.items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in re.finditer(phrase, line, re.IGNORECASE)
    ]


def test_no_code_says_what_a_stranger_stumbles_over() -> None:
    paths = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    wrong = {str(path): found(path.read_text("utf8"), STUMBLED_OVER) for path in paths}
    assert {path: lines for path, lines in wrong.items() if lines} == {}


def test_no_page_says_what_a_stranger_stumbles_over() -> None:
    paths = [path for pattern in PAGES for path in ROOT.glob(pattern) if path.suffix != ".png"]
    assert len(paths) > 15
    phrases = STUMBLED_OVER | STUMBLED_OVER_IN_PAGES
    wrong = {str(path): found(path.read_text("utf8"), phrases) for path in paths}
    assert {path: lines for path, lines in wrong.items() if lines} == {}


def test_phrases_are_found_where_they_stand() -> None:
    assert found("first\nThis hangs on that.", STUMBLED_OVER) == ["2: hangs on (write: depends on)"]
    assert not found("It overrides that, and depends on this.", STUMBLED_OVER)
