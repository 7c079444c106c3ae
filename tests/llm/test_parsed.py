"""What fingerprints keep of sources between processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm import parsed
from llm.parsed import kept

FOUND = {"code": "c", "data": [], "imports": ["llm.step"], "libraries": ["numpy"]}


class Parse:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, source: bytes) -> parsed.Parsed:
        self.asked += 1
        return dict(FOUND)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parsed._folder.cache_clear()
    yield tmp_path
    parsed._folder.cache_clear()


def test_a_source_is_parsed_once(folder: Path) -> None:
    parse = Parse()
    assert kept(b"x = 1", parse) == kept(b"x = 1", parse) == FOUND
    assert parse.asked == 1
    kept(b"x = 2", parse)
    assert parse.asked == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\x00", None])
def test_a_damaged_entry_counts_as_none(folder: Path, damage: bytes | None) -> None:
    parse = Parse()
    kept(b"x = 1", parse)
    [entry] = [path for path in folder.rglob("*") if path.is_file()]
    whole = entry.read_bytes()
    entry.write_bytes(whole.replace(b"numpy", b"scipy") if damage is None else damage)
    assert kept(b"x = 1", parse) == FOUND
    assert parse.asked == 2
    assert entry.read_bytes() == whole


def test_where_nothing_can_be_kept_sources_are_parsed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    parsed._folder.cache_clear()
    parse = Parse()
    assert kept(b"x = 1", parse) == kept(b"x = 1", parse) == FOUND
    assert parse.asked == 2
