"""Killed at any change to the disk, an artifact is whole or absent, and what was deleted is gone."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.store import Store
from tests.llm.store.killing import killed_everywhere
from tests.llm.store.making import erase, files, put, text_of


def holds(folder: Path, word: str) -> bool:
    return any(word.encode() in one.read_bytes() for one in folder.rglob("*") if one.is_file())


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Store]:
    """A store with one artifact, the same each time it is asked for."""

    def make() -> Store:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        store = Store(tmp_path / "store")
        put(store, tmp_path)
        return store

    return make


def test_a_removal_killed_anywhere_leaves_no_text_behind(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    killed = 0
    for _ in killed_everywhere(lambda: store.remove_named(("extract", "k1"))):
        killed += 1
        again = Store(tmp_path / "store")
        found = again.find("extract", "k1")
        if found is not None:
            assert again.verify(found) == [], "not begun: whole"
            again.remove(found)
        again.clear()
        assert not holds(tmp_path / "store", "hello")
        fresh()
    assert killed > 3, "the folder's move, and each file after it"


def test_a_key_whose_removal_was_killed_can_be_made_again(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    for _ in killed_everywhere(lambda: store.remove_named(("extract", "k1"))):
        made = put(Store(tmp_path / "store"), tmp_path, text="again")
        assert text_of(store, made) in ("again", "hello")
        store.clear()
        assert store.find("extract", "k1") is not None
        fresh()


def test_what_earlier_versions_left_without_a_manifest_is_no_artifact_and_blocks_nothing(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    (tmp_path / "store" / "artifacts" / "extract" / "k1" / "manifest.json").unlink()
    assert store.find("extract", "k1") is None and store.names() == []
    assert text_of(store, put(store, tmp_path, text="again")) == "again"
    assert not holds(tmp_path / "store", "hello")


def test_a_commit_killed_anywhere_is_whole_or_absent(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    for _ in killed_everywhere(lambda: put(store, tmp_path, "k2", text="other")):
        found = store.find("extract", "k2")
        assert found is None or store.verify(found) == []
        assert text_of(store, put(store, tmp_path, "k2", text="other")) == "other"
        fresh()


def test_a_forced_run_killed_anywhere_leaves_the_old_or_the_new(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    seen: set[str] = set()
    for _ in killed_everywhere(lambda: put(store, tmp_path, text="other")):
        again = Store(tmp_path / "store")
        found = again.find("extract", "k1")
        assert found is not None and again.verify(found) == []
        seen.add(text_of(again, found.reference))
        again.clear()
        assert again.find("extract", "k1") is not None
        assert text_of(again, put(again, tmp_path, text="other")) == "other"
        again.clear()
        assert not holds(tmp_path / "store", "hello")
        fresh()
    assert seen == {"hello", "other"}


def test_an_erasure_killed_anywhere_is_undone_or_finished(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    (reference,) = [one.reference for one in store.artifacts()]
    seen: set[str] = set()
    for _ in killed_everywhere(lambda: store.rewrite(reference, erase)):
        again = Store(tmp_path / "store")
        found = again.find("extract", "k1")
        assert found is not None and again.verify(found) == []
        seen.add(text_of(again, reference))
        assert (text_of(again, reference) == "-") == ("erased" in found.manifest)
        again.rewrite(reference, erase)
        again.clear()
        assert not holds(tmp_path / "store", "hello")
        assert not (tmp_path / "store" / "aside").exists()
        fresh()
    assert seen == {"hello", "-"}


class Cut(BaseException):
    """The end of a process, as far as an object store can tell."""


REQUESTS = ("rm", "rm_file", "pipe_file", "put_file", "cp_file")


@pytest.mark.parametrize("action", ["remove", "force", "erase", "aside"])
def test_on_an_object_store_cut_off_at_any_request(
    action: str,
    object_kind: str,
    make_store: Callable[..., Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests that are cut off: whole or absent, nothing blocks, and nothing is left after all."""
    for allowed in range(0, 40, 1 if object_kind == "memory" else 4):
        store = make_store(object_kind)
        for name in store.names():
            store.remove_named(name)
        store.clear()
        store.clear_aside()
        reference = put(store, tmp_path)
        actions: dict[str, Callable[[], Any]] = {
            "remove": lambda store=store: store.remove_named(("extract", "k1")),
            "force": lambda store=store: put(store, tmp_path, text="other"),
            "erase": lambda store=store, made=reference: store.rewrite(made, erase),
            "aside": lambda store=store: store.set_aside("extract", "k1", "a test"),
        }
        with monkeypatch.context() as patch:
            done = _cut_after(patch, store, allowed)
            try:
                actions[action]()
            except Cut:
                pass
            else:
                assert done() <= allowed
                break
        again = make_store(object_kind)
        found = again.find("extract", "k1")
        if action in ("force", "erase"):
            assert found is not None
        assert found is None or again.verify(found) == []
        actions[action]()
        again.clear()
        again.clear_aside()
        left = [one for one in files(again).find(again.path()) if "/alike/" not in one]
        held = [one for one in left if b"hello" in files(again).cat_file(one)]
        assert not held, (allowed, held)
        if action in ("remove", "aside"):
            assert left == []
        assert text_of(again, put(again, tmp_path, text="again")) == "again"
    else:
        raise AssertionError("it never came to its end")


def _cut_after(patch: pytest.MonkeyPatch, store: Store, allowed: int) -> Callable[[], int]:
    done = 0

    def counted(function: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done == allowed:
                raise Cut
            done += 1
            return function(*arguments, **options)

        return change

    for name in REQUESTS:
        patch.setattr(files(store), name, counted(getattr(files(store), name)), raising=False)
    return lambda: done


def test_keeping_an_artifact_under_another_key_killed_anywhere_is_whole_or_absent(
    fresh: Callable[[], Store], tmp_path: Path
) -> None:
    store = fresh()
    artifact = store.find("extract", "k1")
    assert artifact is not None
    manifest = {**artifact.manifest, "key": "k2"}
    for _ in killed_everywhere(lambda: store.keep_as(artifact, manifest, "b2")):
        again = Store(tmp_path / "store")
        for key in ("k1", "k2"):
            found = again.find("extract", key)
            assert (found is None and key == "k2") or again.verify(found) == []
        again.clear()
        assert not (tmp_path / "store" / "going").exists() or not any(
            (tmp_path / "store" / "going").iterdir()
        )
        assert again.verify(again.keep_as(artifact, manifest, "b2")) == []
        fresh()
