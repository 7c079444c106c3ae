"""A store on an object store, through fsspec: files are put one by one, the manifest last.

There is no rename: a folder is an artifact from the moment its manifest is there until it is
deleted. What a kill leaves without a manifest is found by `Store.clear`.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from llm.store.names import MANIFEST, Name

BLOCK = 1 << 22


class Objects:
    """Files below an fsspec URL. See `llm.store.backend.Backend`."""

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str) -> None:
        self.fs, self.root = fs, root

    def path(self, *parts: str) -> str:
        return str(PurePosixPath(self.root, *parts))

    def read(self, *parts: str) -> bytes | None:
        try:
            return bytes(self.fs.cat_file(self.path(*parts)))
        except FileNotFoundError:
            return None

    def write(self, data: bytes, *parts: str) -> None:
        self.fs.pipe_file(self.path(*parts), data)

    def sizes(self, *folder: str) -> dict[str, int]:
        base = self.path(*folder)
        return {
            str(PurePosixPath(path).relative_to(base)): info["size"]
            for path, info in self._find(base).items()
            if path != base
        }

    def _find(self, base: str) -> dict[str, dict[str, Any]]:
        try:
            # One flat listing: a glob would list every folder.
            return dict(self.fs.find(base, detail=True))
        except FileNotFoundError:
            return {}

    def _below(self, top: str, step: str | None = None) -> dict[Name, dict[str, dict[str, Any]]]:
        found: dict[Name, dict[str, dict[str, Any]]] = {}
        base = self.path(top)
        for path, info in self._find(base if step is None else f"{base}/{step}").items():
            parts = PurePosixPath(path).relative_to(base).parts
            if len(parts) > 2:
                found.setdefault((parts[0], parts[1]), {})["/".join(parts[2:])] = info
        return found

    def manifests(self, step: str | None = None) -> dict[Name, str]:
        return {
            name: _stamp(files[MANIFEST])
            for name, files in sorted(self._below("artifacts", step).items())
            if MANIFEST in files
        }

    def folders(self, top: str) -> list[Name]:
        return sorted(self._below(top))

    def digest(self, *parts: str) -> str:
        state = hashlib.blake2b(digest_size=32)
        with self.fs.open(self.path(*parts), "rb", block_size=BLOCK) as stream:
            while data := stream.read(BLOCK):
                state.update(data)
        return state.hexdigest()

    def put(self, source: Path, names: Iterable[str], *folder: str) -> None:
        for name in sorted(names, key=lambda one: (one == MANIFEST, one)):
            self.fs.put_file(str(source / name), self.path(*folder, name))

    def move_file(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        self.fs.cp_file(self.path(*source), self.path(*target))

    def remove_file(self, *parts: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path(*parts))

    def remove(self, *folder: str) -> None:
        self.remove_file(*folder, MANIFEST)
        left = [self.path(*folder, name) for name in self.sizes(*folder)]
        if left:
            with suppress(FileNotFoundError):
                self.fs.rm(left)

    def move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        # `mv` of a folder fails on s3fs after it has copied everything.
        names = self.sizes(*source)
        for name in names:
            self.fs.cp_file(self.path(*source, name), self.path(*target, name))
        self.remove(*source)

    def clear(self, top: str) -> bool:
        left = list(self._find(self.path(top)))
        if left:
            self.fs.rm(left)
        return bool(left)

    def fetch(self, target: Path, *parts: str) -> None:
        self.fs.get_file(self.path(*parts), str(target))


def _stamp(info: dict[str, Any]) -> str:
    for field in ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created"):
        if info.get(field):
            return f"{info[field]} {info['size']}"
    return ""
