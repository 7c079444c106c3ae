"""Files on web servers: whole in spite of broken connections, and never more than was asked for."""

import io
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm import durable
from llm.corpus.archive.connections import Refused
from llm.corpus.archive.remote import Remote
from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.web.login import Login
from tests.llm.corpus.ranges import FileServer, serve_files

DATA = random.Random(7).randbytes(700_000)
HASTY = {"delay_seconds": 0.0, "backoff_seconds": 0.0, "timeout_seconds": 5.0, "retries": 3}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as files:
        files.files["a.bin"] = DATA
        yield files


@pytest.fixture
def remote(server: FileServer) -> Iterator[Remote]:
    with Remote(RemoteSettings(**HASTY), server.hosts) as client:  # type: ignore[arg-type]
        yield client


def test_a_range_is_what_was_asked_for(server: FileServer, remote: Remote) -> None:
    assert remote.get(server.url("a.bin"), 1000, 50) == DATA[1000:1050]
    assert server.requests == [("/a.bin", "bytes=1000-1049")]
    server.misfortunes = ["no ranges"]
    assert remote.get(server.url("a.bin"), 1000, 50) == DATA[1000:1050]
    with pytest.raises(Refused, match="truncated: the file ends after 700000 bytes"):
        remote.get(server.url("a.bin"), 699_990, 50)
    with pytest.raises(Refused, match="http_416: no byte 800000 in 700000 bytes"):
        remote.get(server.url("a.bin"), 800_000, 50)


@pytest.mark.parametrize("with_login", [False, True])
def test_of_several_addresses_of_a_redirect_the_first_counts(
    server: FileServer, remote: Remote, with_login: bool
) -> None:
    if with_login:
        remote.log_in(Login({"X-Token": "sesam"}, frozenset({("http", "files.test")})))
    server.files["b.bin"] = b"another"
    server.misfortunes = ["move /a.bin /b.bin"]
    assert remote.get(server.url("b.bin")) == DATA


@pytest.mark.parametrize(
    "misfortunes",
    [
        ["break 100000"],
        ["break 0", "503", "break 300000"],
        ["503", "503", "503"],
        ["promise 100"],
        ["break 100000", "no ranges"],
        ["break 100000", "little 1000", "little 7"],
        ["move /a.bin"],
    ],
)
def test_a_file_comes_whole_whatever_happens(
    server: FileServer, remote: Remote, misfortunes: list[str], tmp_path: Path
) -> None:
    server.misfortunes = list(misfortunes)
    assert remote.get(server.url("a.bin")) == DATA
    server.misfortunes = list(misfortunes)
    with remote.open(server.url("a.bin"), tmp_path / "a.part") as file:
        assert io.BufferedReader(file).read() == DATA
        assert file.failure is None


def test_what_came_is_not_asked_for_again(server: FileServer, remote: Remote) -> None:
    server.misfortunes = ["break 100000", "break 200000"]
    assert remote.get(server.url("a.bin")) == DATA
    assert server.ranges() == ["", "bytes=100000-", "bytes=300000-"]


def test_servers_that_will_not_give_it_are_not_asked_twice(
    server: FileServer, remote: Remote
) -> None:
    with pytest.raises(Refused, match="http_404"):
        remote.get(server.url("b.bin"))
    server.misfortunes = ["elsewhere"]
    with pytest.raises(Refused, match="asked for bytes from 10, given bytes 11-19/700000"):
        remote.get(server.url("a.bin"), 10, 10)
    for address in ("ftp://a.b/c", "http://", "http://a:b:c/"):
        with pytest.raises(Refused, match="bad_address"):
            remote.get(address)
    assert len(server.requests) == 2


def test_retries_end_and_say_where(server: FileServer, remote: Remote) -> None:
    server.misfortunes = ["break 100000"] + ["503"] * 9
    with pytest.raises(ConnectionError, match=r"a\.bin breaks off at byte 100000: http_503"):
        remote.get(server.url("a.bin"))
    assert len(server.requests) == 1 + 3


def test_pauses_are_kept_and_long_ones_refused(server: FileServer) -> None:
    slept: list[float] = []
    values = RemoteSettings(delay_seconds=0.5, backoff_seconds=2.0, max_wait_seconds=60, retries=3)
    with Remote(values, server.hosts, slept.append) as remote:
        server.misfortunes = ["pause 7", "503"]
        remote.get(server.url("a.bin"), 0, 10)
        assert slept == [7.0, 0.5, 4.0, 0.5]
        server.misfortunes = ["pause 3600"]
        with pytest.raises(ConnectionError, match="pause of 3600 seconds"):
            remote.get(server.url("a.bin"), 0, 10)


def test_a_file_that_changes_meanwhile_is_refused(server: FileServer, remote: Remote) -> None:
    def change() -> Iterator[str]:
        yield "break 100000"
        server.files["a.bin"] = DATA[::-1]

    class Fates(list[str]):
        fates = change()

        def __bool__(self) -> bool:
            return True

        def pop(self, index: int = -1) -> str:  # type: ignore[override]
            return next(self.fates, "")

    server.misfortunes = Fates()
    with pytest.raises(Refused, match="changed: the file became another one at byte 100000"):
        remote.get(server.url("a.bin"))


def test_only_what_is_read_is_fetched_and_it_is_kept(
    server: FileServer, remote: Remote, tmp_path: Path
) -> None:
    server.files["a.bin"] = big = DATA * 20
    kept = tmp_path / "a.part"
    with remote.open(server.url("a.bin"), kept) as file:
        assert file.read(100_000) == big[:100_000]
        file.seek(50_000)
        assert file.read(10) == big[50_000:50_010]
        so_far = file.size
    assert so_far < 1_000_000
    with remote.open(server.url("a.bin"), kept) as file:
        assert server.ranges()[-1] == f"bytes={so_far}-"
        assert io.BufferedReader(file).read() == big
    with remote.open(server.url("a.bin"), kept) as file:
        asked = len(server.requests)
        assert file.seek(-10, io.SEEK_END) == len(big) - 10
        assert file.read(100) == big[-10:]
        assert len(server.requests) == asked
        file.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("with_tags", [True, False])
def test_what_was_kept_of_another_version_is_thrown_away(
    server: FileServer, remote: Remote, tmp_path: Path, with_tags: bool
) -> None:
    server.with_tags = with_tags
    kept = tmp_path / "a.part"
    with remote.open(server.url("a.bin"), kept) as file:
        file.read(1000)
    server.files["a.bin"] = DATA[::-1][:300_000]
    with remote.open(server.url("a.bin"), kept) as file:
        assert io.BufferedReader(file).read() == server.files["a.bin"]


def test_limits_hold(server: FileServer, tmp_path: Path) -> None:
    values = RemoteSettings(**HASTY, max_bytes=50_000)  # type: ignore[arg-type]
    with Remote(values, server.hosts) as remote:
        with pytest.raises(Refused, match="too_large: over 50000"):
            remote.get(server.url("a.bin"))
        with pytest.raises(Refused, match="too_large: 60000 bytes are asked for"):
            remote.get(server.url("a.bin"), 0, 60_000)
        with remote.open(server.url("a.bin"), tmp_path / "a.part") as file:
            assert io.BufferedReader(file).read() == DATA[:50_000]
            assert file.cut
        assert (tmp_path / "a.part").stat().st_size == 50_000


def test_a_failure_midway_looks_like_the_end_and_is_told(
    server: FileServer, remote: Remote, tmp_path: Path
) -> None:
    server.misfortunes = ["break 100000"] + ["503"] * 9
    with remote.open(server.url("a.bin"), tmp_path / "a.part") as file:
        assert io.BufferedReader(file).read() == DATA[:100_000]
        assert isinstance(file.failure, ConnectionError)
    server.misfortunes = []
    with remote.open(server.url("a.bin"), tmp_path / "a.part") as file:
        assert io.BufferedReader(file).read() == DATA
    assert server.ranges()[-1] == "bytes=100000-"


def test_a_redirect_to_what_is_no_host_is_refused(server: FileServer, remote: Remote) -> None:
    server.misfortunes = ["move http://xn--a.elsewhere.example/"]
    with pytest.raises(Refused, match="bad_address"):
        remote.get(server.url("a.bin"))


@pytest.mark.parametrize("seconds", [1800.0, 3700.0])
def test_a_file_has_its_hours_over_all_its_connections(
    server: FileServer, tmp_path: Path, seconds: float
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += seconds / 100  # each look at it
        return now[0]

    server.files["a.bin"] = DATA * 20
    values = RemoteSettings(**HASTY, max_hours=1.0)  # type: ignore[arg-type]
    with Remote(values, server.hosts, clock=clock) as remote:
        kept = tmp_path / "a.part"
        with remote.open(server.url("a.bin"), kept) as file:
            found = io.BufferedReader(file).read()
            assert isinstance(file.failure, ConnectionError)
            assert "has taken 1 hours" in str(file.failure)
        assert 0 < len(found) == kept.stat().st_size < len(DATA * 20)
        now[0] = 0.0
        with remote.open(server.url("a.bin"), kept) as file:
            file.read(10)
            assert server.ranges()[-1] == f"bytes={len(found)}-"


def test_neither_a_redirect_nor_a_list_leads_to_a_private_address(
    server: FileServer, remote: Remote
) -> None:
    inside = f"http://127.0.0.1:{server.port}/a.bin"
    server.misfortunes = [f"move {inside}"]
    with pytest.raises(Refused, match=r"private_address: 127\.0\.0\.1 is 127\.0\.0\.1"):
        remote.get(server.url("a.bin"))
    with pytest.raises(Refused, match="private_address"):
        remote.get(inside)
    assert len(server.requests) == 1
    values = RemoteSettings(**HASTY)  # type: ignore[arg-type]
    with Remote(values, places=[inside]) as named:
        assert named.get(inside) == DATA
    values = RemoteSettings(**HASTY, private_hosts=("127.0.0.1",))  # type: ignore[arg-type]
    with Remote(values) as named:
        assert named.get(inside) == DATA


@pytest.mark.parametrize("lost", ["the end", "the end, as zeros", "all of it", "the note"])
def test_what_a_power_loss_took_is_fetched_again(
    server: FileServer, remote: Remote, tmp_path: Path, lost: str
) -> None:
    kept = tmp_path / "a.part"
    with remote.open(server.url("a.bin"), kept) as file:
        assert io.BufferedReader(file).read() == DATA
    notes = kept.with_name("a.part.json")
    if lost == "the note":
        notes.unlink()
    elif lost == "the end, as zeros":
        # The length reached the disk, the bytes behind the last note did not.
        noted = json.loads(notes.read_text())
        notes.write_text(json.dumps({**noted, "whole": False, "size": 300_000}))
        kept.write_bytes(DATA[:300_000] + bytes(400_000))
    else:
        kept.write_bytes(DATA[: 0 if lost == "all of it" else 500_000])
    with remote.open(server.url("a.bin"), kept) as file:
        assert io.BufferedReader(file).read() == DATA


def test_a_file_is_on_the_disk_before_the_note_says_so(
    server: FileServer, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "a.part"
    synced, noted = list[int](), list[int]()
    sync, write = os.fsync, durable.write_json

    def sync_seen(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        sync(handle)

    def write_seen(path: Path, value: dict[str, int]) -> None:
        assert value["size"] <= max(synced)
        noted.append(value["size"])
        write(path, value)

    monkeypatch.setattr("llm.corpus.archive.remote_file.os.fsync", sync_seen)
    monkeypatch.setattr("llm.corpus.archive.remote_file.write_json", write_seen)
    monkeypatch.setattr("llm.corpus.archive.remote_file._NOTE_BYTES", 200_000)
    with remote.open(server.url("a.bin"), kept) as file:
        assert io.BufferedReader(file).read() == DATA
    assert len(noted) >= 4
    assert noted[-1] == len(DATA)
