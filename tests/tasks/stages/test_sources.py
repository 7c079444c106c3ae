"""What names the result of reading a source: settings, the user's files and code, never the network."""

import socket
from pathlib import Path

import pytest

from llm.corpus.crawl import Source
from llm.corpus.sources.files import FilesSource
from llm.corpus.sources.hub import HubSource
from llm.corpus.sources.warc import WarcSource
from tasks.stages.sources import source_call


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def key(source: Source, snapshot: str = "monday") -> str:
    return source_call("mine", source, snapshot).key


def test_addresses_stand_for_what_they_held_when_they_were_first_read() -> None:
    archive = WarcSource(path="https://a.de/a.warc.gz")
    assert key(archive) == key(archive, "tuesday")
    nightly = WarcSource(path="https://a.de/a.warc.gz", read_again="snapshot")
    assert len({key(archive), key(nightly), key(nightly, "tuesday")}) == 3
    listed = WarcSource(list="https://a.de/warc.paths.gz", base="https://a.de/")
    assert key(listed) == key(listed, "tuesday") != key(archive)
    pinned = HubSource(dataset="owner/set", revision="a" * 40)
    assert key(pinned) == key(pinned, "tuesday")
    assert key(pinned) != key(HubSource(dataset="owner/set", revision="b" * 40))


def test_files_lists_and_folders_count_by_content(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "list").write_text("https://a.de/1.warc.gz\n")
    sources: list[Source] = [
        FilesSource(path=str(tmp_path / "rows.jsonl")),
        HubSource(dataset=str(tmp_path)),
        WarcSource(list=str(tmp_path / "list")),
    ]
    before = [key(source) for source in sources]
    assert before == [key(source, "tuesday") for source in sources]
    (tmp_path / "rows.jsonl").write_text('{"text": "b"}\n')
    (tmp_path / "list").write_text("https://a.de/2.warc.gz\n")
    after = [key(source) for source in sources]
    assert len({*before, *after}) == 6
