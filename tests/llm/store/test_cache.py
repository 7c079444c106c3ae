"""Local copies of an object store's artifacts: whole, current, bounded, and there while in use."""

import json
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm.durable import bytes_digest
from llm.store import Store
from llm.store.cache import Cache
from llm.store.names import Artifact
from tests.llm.store.making import erase, put, text_of
from tests.waiting import PATIENCE


def test_threads_that_need_the_same_artifact_fetch_it_once(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    store = make_store(object_kind)
    reference = put(store, tmp_path)
    fetched: list[str] = []
    fetch = store.backend.fetch

    def slow(target: Path, *parts: str) -> None:
        fetched.append(parts[-1])
        fetch(target, *parts)

    store.backend.fetch = slow  # type: ignore[method-assign]
    start = threading.Barrier(8)

    def read(_: int) -> str:
        start.wait(PATIENCE)
        return text_of(store, reference)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == ["hello"] * 8
    assert sorted(name.partition("/")[2] for name in fetched) == ["b.txt", "pages/a.txt"]


def test_what_a_step_was_handed_stays_although_the_cache_is_smaller(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    store = make_store(object_kind, cache_bytes=13)
    references = [put(store, tmp_path, f"k{n}") for n in range(5)]
    with store.borrowing():
        folders = [store.local(reference) for reference in references]
        assert all((folder / "pages" / "a.txt").read_text() == "hello" for folder in folders)
    last = store.local(put(store, tmp_path, "k9"))
    assert last.is_dir()
    assert sum(folder.is_dir() for folder in [*folders, last]) <= 2, "bounded again"


def _copy(folder: str, manifest: str, started: Any) -> None:
    """Hold a pin on one copy until killed."""
    cache = Cache(Path(folder), 13)
    cache.get(Artifact(json.loads(manifest)), _five, pin=True)
    started.set()
    threading.Event().wait(PATIENCE)


def _five(name: str, target: Path) -> None:
    target.write_bytes(b"12345")


def _manifest(key: str) -> dict[str, Any]:
    files = {"f": {"bytes": 5, "digest": bytes_digest(b"12345")}}
    return {"step": "s", "key": key, "files": files}


def test_what_another_process_uses_stays_until_it_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    arguments = (str(tmp_path), json.dumps(_manifest("theirs")), started)
    process = context.Process(target=_copy, args=arguments)
    process.start()
    assert started.wait(PATIENCE)
    cache = Cache(tmp_path, 13)
    for number in range(4):
        cache.get(Artifact(_manifest(f"k{number}")), _five)
    assert (tmp_path / "s" / "theirs" / "f").exists(), "the oldest, and in use"
    process.kill()
    process.join()
    for number in range(4, 8):
        cache.get(Artifact(_manifest(f"k{number}")), _five)
    assert not (tmp_path / "s" / "theirs").exists()


@pytest.mark.parametrize("how", ["forced", "purged"])
def test_a_copy_is_of_the_artifact_as_it_is_now(
    how: str, object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    """Another machine replaced the artifact after this one copied it."""
    here, there = make_store(object_kind, "here"), make_store(object_kind, "there")
    reference = put(here, tmp_path)
    assert text_of(here, reference) == text_of(there, reference) == "hello"
    if how == "forced":
        put(there, tmp_path, text="other")
    else:
        there.rewrite(reference, erase)
    assert text_of(here, reference) == ("other" if how == "forced" else "-")


def test_a_download_that_was_cut_off_is_no_copy_and_is_cleared(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)

    def broken(name: str, target: Path) -> None:
        target.write_bytes(b"half")
        raise ConnectionError("the line broke")

    artifact = Artifact(_manifest("k"))
    with pytest.raises(ConnectionError):
        cache.get(artifact, broken)
    assert not (tmp_path / "s" / "k").exists()
    assert not any((tmp_path / "coming").iterdir())
