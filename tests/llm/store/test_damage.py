"""Damage is told and set aside; what is being replaced is not damaged."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.store import Artifact, Reference, Store
from llm.store.backend import Backend
from tests.llm.store.making import erase, files, put, text_of


def spoil(store: Store, name: str, data: bytes) -> None:
    artifact = store.read("extract", "k1")
    place = name if artifact is None else artifact.places.get(name, name)
    path = store.path("artifacts", "extract", "k1", place)
    files(store).pipe_file(path, data)


def aside(store: Store) -> list[str]:
    return (
        files(store).find(store.path("aside")) if files(store).exists(store.path("aside")) else []
    )


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("pages/a.txt", b"hellO", "pages/a.txt does not match its digest"),
        ("pages/a.txt", b"hell", "pages/a.txt has 4 bytes instead of 5"),
        ("manifest.json", b'{"half', "its manifest is unreadable"),
        ("manifest.json", b"[]", "its manifest is unreadable"),
    ],
)
def test_verify_lists_damage_and_sets_it_aside_whatever_copies_there_are(
    store: Store, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    reference = put(store, tmp_path)
    store.local(reference)  # on an object store, a copy from before the damage
    known = store.read("extract", "k1")
    assert known is not None and store.verify(known) == []
    spoil(store, name, data)
    if name == "manifest.json":
        assert store.find("extract", "k1") is None
    else:
        (problem,) = store.verify(known)
        assert problem.startswith(said)
        assert aside(store) == [], "only told"
        assert store.verify(known, set_aside=True) == [problem]
    assert len(aside(store)) == 3, "kept for a look, once"
    assert store.read("extract", "k1") is None and store.left_over()
    assert text_of(store, put(store, tmp_path, text="again")) == "again"
    store.clear_aside()
    assert aside(store) == []


def test_a_damaged_file_is_not_handed_over(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    store = make_store(object_kind)
    reference = put(store, tmp_path)
    spoil(store, "pages/a.txt", b"hellO")
    with pytest.raises(FileNotFoundError, match="damaged and is set aside: run again"):
        store.local(reference)
    assert store.find("extract", "k1") is None


class Meanwhile:
    """A backend that does something once, right before or after its first look at files."""

    def __init__(self, backend: Backend, act: Callable[[], Any]) -> None:
        self.backend, self.act, self.done = backend, act, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def sizes(self, *folder: str) -> dict[str, int]:
        if not self.done:
            self.done = True
            other = threading.Thread(target=self.act)
            other.start()
            other.join()
        return self.backend.sizes(*folder)


@pytest.mark.parametrize("change", ["erase", "force", "remove"])
@pytest.mark.parametrize("look", ["find", "verify"])
def test_what_is_replaced_between_two_looks_is_not_set_aside(
    kind: str, make_store: Callable[..., Store], tmp_path: Path, change: str, look: str
) -> None:
    store, other = make_store(kind), make_store(kind)
    reference = put(store, tmp_path)
    known = store.read("extract", "k1")
    assert known is not None
    changes: dict[str, Callable[[], Any]] = {
        "erase": lambda: other.rewrite(reference, erase),
        "force": lambda: put(other, tmp_path, text="longer than before"),
        "remove": lambda: other.remove(known),
    }
    store.backend = Meanwhile(store.backend, changes[change])  # type: ignore[assignment]
    if look == "find":
        found = store.find("extract", "k1")
        assert (found is None) == (change == "remove")
    else:
        assert store.verify(known, set_aside=True) == []
    assert aside(other) == []
    now = other.find("extract", "k1")
    assert (now is None) == (change == "remove")
    assert now is None or other.verify(now) == []


def test_another_machine_sees_what_was_written_after_its_listing(
    make_store: Callable[..., Store], s3: str, tmp_path: Path
) -> None:
    one, two = make_store("s3", "one"), make_store("s3", "two")
    put(one, tmp_path, "k0")
    assert two.names() == [("extract", "k0")]
    files(two).ls(two.path("artifacts", "extract"))
    put(one, tmp_path, "k1")
    found = two.find("extract", "k1")
    assert isinstance(found, Artifact)
    assert text_of(two, found.reference) == "hello"
    assert two.find("extract", "k2") is None
    assert Reference("extract", "k1", found.reference.content) == found.reference
