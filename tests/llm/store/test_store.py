"""Artifacts are whole or absent, damage is noticed, and two makers make one."""

import errno
import json
import logging
import multiprocessing
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm import durable
from llm.store import Reference, Store
from tests.llm.store.making import erase, put, text_of
from tests.waiting import PATIENCE


def test_what_is_committed_is_found_and_readable(store: Store, tmp_path: Path) -> None:
    reference = put(store, tmp_path)
    found = store.find("extract", "k1")
    assert found is not None and found.reference == reference
    assert (store.local(reference) / "pages" / "a.txt").read_text() == "hello"
    assert found.bytes == 6
    assert store.verify(found) == []
    assert store.find("extract", "other") is None


def test_the_content_is_of_the_bytes_and_not_of_the_key(store: Store, tmp_path: Path) -> None:
    one = put(store, tmp_path, "k1")
    two = put(store, tmp_path, "k2")
    three = put(store, tmp_path, "k3", text="other")
    assert one.content == two.content != three.content


def test_the_newest_of_the_same_base_is_found_whatever_its_code(
    store: Store, tmp_path: Path
) -> None:
    put(store, tmp_path, "k1", base="b")
    newer = put(store, tmp_path, "k2", base="b")
    found = store.alike("b")
    assert found is not None and found.reference == newer
    assert store.alike("other") is None


@pytest.mark.parametrize("damage", ["deleted", "truncated", "manifest"])
def test_a_damaged_artifact_is_set_aside_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    folder = store.local(put(store, tmp_path))
    if damage == "deleted":
        (folder / "b.txt").unlink()
    elif damage == "truncated":
        (folder / "pages" / "a.txt").write_text("hell")
    else:
        (folder / "manifest.json").write_text('{"half')
    with caplog.at_level(logging.WARNING):
        assert store.find("extract", "k1") is None
    assert "damaged" in caplog.text
    assert len(list((tmp_path / "store" / "aside").iterdir())) == 1
    put(store, tmp_path / "again")
    assert store.find("extract", "k1") is not None


def test_a_flipped_byte_is_found_by_its_digest(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    reference = put(store, tmp_path)
    (store.local(reference) / "pages" / "a.txt").write_text("hellO")
    found = store.find("extract", "k1")
    assert found is not None, "sizes agree: one listing cannot see it"
    assert store.verify(found) == ["pages/a.txt does not match its digest"]


def test_a_disk_that_fills_during_the_commit_leaves_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    kept = put(store, tmp_path, "k0")

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_tree", full)
        with pytest.raises(OSError, match="No space left"):
            put(store, tmp_path, "k1")
    assert store.find("extract", "k1") is None
    assert store.find("extract", "k0") is not None
    assert store.local(kept).is_dir()


def test_a_forced_run_replaces_the_artifact_only_if_its_content_differs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    put(store, tmp_path / "1")
    stamp = (store.local(Reference("extract", "k1", "")) / "manifest.json").stat().st_mtime_ns
    put(store, tmp_path / "2")
    assert (
        store.local(Reference("extract", "k1", "")) / "manifest.json"
    ).stat().st_mtime_ns == stamp
    changed = put(store, tmp_path / "3", text="new")
    assert (store.local(changed) / "pages" / "a.txt").read_text() == "new"


def _hold(root: str, started: Any, seconds: float) -> None:
    with Store(root).work("extract", "k1") as folder:
        (folder / "state").write_text("half")
        started.set()
        time.sleep(seconds)


def test_a_work_folder_is_held_and_kill_9_frees_it_with_its_state(tmp_path: Path) -> None:
    started = multiprocessing.get_context("spawn").Event()
    holder = multiprocessing.get_context("spawn").Process(
        target=_hold, args=(str(tmp_path / "store"), started, PATIENCE)
    )
    holder.start()
    assert started.wait(PATIENCE)
    holder.kill()
    holder.join()
    with Store(tmp_path / "store").work("extract", "k1") as folder:
        assert (folder / "state").read_text() == "half"


def test_a_second_maker_waits_for_the_first(tmp_path: Path) -> None:
    started = multiprocessing.get_context("spawn").Event()
    holder = multiprocessing.get_context("spawn").Process(
        target=_hold, args=(str(tmp_path / "store"), started, 1.0)
    )
    holder.start()
    assert started.wait(PATIENCE)
    with Store(tmp_path / "store").work("extract", "k1"):
        assert not holder.is_alive() or (holder.join(PATIENCE) is None and not holder.is_alive())


def test_makers_that_finish_and_begin_at_the_same_moment_do_not_fail(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def make(_: int) -> int:
        made = 0
        for _ in range(100):
            with store.work("extract", "k1") as folder:
                assert folder.is_dir()
                shutil.rmtree(folder, ignore_errors=True)
                made += 1
        return made

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(make, range(3))) == [100, 100, 100]


def test_the_copies_of_an_object_store_are_bounded(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}-lru", scratch=tmp_path / "scratch", cache_bytes=13)
    references = [put(store, tmp_path, f"{n}a", text="hello") for n in range(3)]
    for reference in references:
        store.local(reference)
        time.sleep(0.02)
    left = {path.name for path in (tmp_path / "scratch" / "cache" / "extract").iterdir()}
    assert left == {"2a"} or left == {"1a", "2a"}
    assert (store.local(references[0]) / "b.txt").read_text() == "b"


def test_a_manifest_is_plain_json(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    manifest = json.loads((store.local(put(store, tmp_path)) / "manifest.json").read_text())
    assert set(manifest["files"]) == {"b.txt", "pages/a.txt"}


def test_a_rewritten_artifact_is_intact_and_keeps_its_name(store: Store, tmp_path: Path) -> None:
    reference = put(store, tmp_path)
    store.local(reference)  # on an object store, a copy that must not survive
    changed = store.rewrite(reference, erase)
    assert changed is not None and changed.reference == reference
    found = store.find("extract", "k1")
    assert found is not None and found.manifest["erased"][0]["documents"] == 1
    assert store.verify(found) == []
    folder = store.local(reference)
    assert (folder / "pages" / "a.txt").read_text() == "-"
    assert (folder / "b.txt").read_text() == "b", "what was not replaced stays"
    assert (folder / "erased.json").is_file()
    assert not store.backend.folders("rewriting")


def test_a_change_that_finds_nothing_or_fails_changes_nothing(store: Store, tmp_path: Path) -> None:
    reference = put(store, tmp_path)
    before = store.read("extract", "k1")
    unchanged = store.rewrite(reference, lambda folder, out: None)
    assert unchanged == before

    def fails(folder: Path, out: Path) -> dict[str, Any]:
        (out / "b.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.rewrite(reference, fails)
    found = store.find("extract", "k1")
    assert found == before and found is not None and store.verify(found) == []
    store.clear()
    assert not store.backend.folders("rewriting")
    assert store.rewrite(Reference("extract", "gone", ""), erase) is None


def test_an_artifact_is_kept_under_another_key_too(store: Store, tmp_path: Path) -> None:
    reference = put(store, tmp_path)
    artifact = store.find("extract", "k1")
    assert artifact is not None
    manifest = {**artifact.manifest, "step": "read", "key": "k2", "content": "another", "files": {}}
    kept = store.keep_as(artifact, manifest, "b2")
    assert kept.reference == Reference("read", "k2", reference.content)
    assert store.find("read", "k2") == kept and store.verify(kept) == []
    assert store.alike("b2") == kept
    assert store.keep_as(artifact, manifest, "b2") == kept, "a second time changes nothing"
    store.rewrite(kept.reference, erase)
    assert text_of(store, reference) == "hello", "an erasure in one leaves the other as it is"
    store.remove(artifact)
    after = store.find("read", "k2")
    assert after is not None and store.verify(after) == []
    assert text_of(store, after.reference) == "-"
