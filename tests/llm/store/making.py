"""Artifacts to test with."""

import uuid
from pathlib import Path
from typing import Any

import fsspec

from llm.store import Reference, Store
from llm.store.objects import Objects

MANIFEST: dict[str, Any] = {"step": "extract", "content": None, "parts": {}, "seconds": 1.0}


def put(
    store: Store, folder: Path, key: str = "k1", text: str = "hello", base: str = "b1"
) -> Reference:
    """Commit an artifact of 6 bytes: pages/a.txt with the text, and b.txt."""
    source = folder / "made" / uuid.uuid4().hex
    (source / "pages").mkdir(parents=True)
    (source / "pages" / "a.txt").write_text(text)
    (source / "b.txt").write_text("b")
    return store.commit(source, {**MANIFEST, "key": key}, base).reference


def text_of(store: Store, reference: Reference) -> str:
    """What pages/a.txt says."""
    return (store.local(reference) / "pages" / "a.txt").read_text()


def erase(folder: Path, out: Path) -> dict[str, Any]:
    """A change for `Store.rewrite` that takes the word out."""
    text = (folder / "pages" / "a.txt").read_text()
    (out / "pages").mkdir()
    (out / "pages" / "a.txt").write_text(text.replace("hello", "-"))
    (out / "erased.json").write_text("[]")
    return {"erased": [{"at": 1.0, "documents": 1}]}


def files(store: Store) -> Any:
    """The file system that the store lies on."""
    return store.backend.fs if isinstance(store.backend, Objects) else fsspec.filesystem("file")
