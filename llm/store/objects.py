"""A store on an object store, through fsspec: files are put one by one, the manifest last.

There is no rename: a folder is an artifact from the moment its manifest is there until it is
deleted. What a kill leaves without a manifest is found by `Store.clear`.

Relied on, of the object store and of its fsspec implementation:
- what was written is there for whoever reads or lists afterwards (S3, GCS and Azure are so);
- `pipe_file(..., mode="create")` writes only where nothing is and raises FileExistsError else. s3fs
  sends If-None-Match, which S3 has honoured since August 2024 and moto, MinIO and R2 do; gcsfs and
  adlfs have their own conditions. A store that ignores the header lets two machines commit the same
  key: then the manifest of the later one counts, whole, and the other's files are cleared;
- a listing says when each file was written (LastModified), for leases.
"""

import hashlib
import json
import shutil
import threading
import uuid
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from llm.store.names import MANIFEST, Name

BLOCK = 1 << 22
_ONE_BY_ONE = threading.Lock()
OWN = "@"  # before the name of a folder that the files of one commit lie in


class Objects:
    """Files below an fsspec URL. See `llm.store.backend.Backend`."""

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str) -> None:
        self.fs, self.root = fs, root
        # fsspec's memory looks and then writes: threads may come in between. Servers do it at once.
        self._creating = _ONE_BY_ONE if "memory" in fs.protocol else nullcontext()

    def path(self, *parts: str) -> str:
        return str(PurePosixPath(self.root, *parts))

    def read(self, *parts: str) -> bytes | None:
        try:
            return bytes(self.fs.cat_file(self.path(*parts)))
        except FileNotFoundError:
            return None

    def write(self, data: bytes, *parts: str) -> None:
        self.fs.pipe_file(self.path(*parts), data)

    def create(self, data: bytes, *parts: str) -> bool:
        try:
            # If-None-Match on S3 and Azure, if-generation-match on GCS.
            with self._creating:
                self.fs.pipe_file(self.path(*parts), data, mode="create")
        except FileExistsError:
            return False
        return True

    def ages(self, *folder: str) -> dict[str, float]:
        probe = f".now-{uuid.uuid4().hex}"
        self.write(b"", *folder, probe)
        try:
            base = self.path(*folder)
            written = {
                str(PurePosixPath(path).relative_to(base)): _written(info)
                for path, info in self._find(base).items()
            }
        finally:
            self.remove_file(*folder, probe)
        now = written.pop(probe)
        return {name: now - at for name, at in written.items()}

    def sizes(self, *folder: str) -> dict[str, int]:
        base = self.path(*folder)
        return {
            str(PurePosixPath(path).relative_to(base)): info["size"]
            for path, info in self._find(base).items()
            if path != base
        }

    def stamps(self, folder: str) -> dict[str, str]:
        base = self.path(folder)
        found = {
            str(PurePosixPath(path).relative_to(base)): _stamp(info)
            for path, info in self._find(base).items()
            if path != base
        }
        return {name: stamp for name, stamp in found.items() if "/" not in name}

    def stamp(self, *parts: str) -> str | None:
        try:
            return _stamp(self.fs.info(self.path(*parts)))
        except FileNotFoundError:
            return None

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

    def commit(self, source: Path, manifest: Mapping[str, Any], *folder: str) -> dict[str, Any]:
        # Another machine may be putting the same names: each has a folder of its own for them.
        own = f"{OWN}{uuid.uuid4().hex[:12]}"
        files = {name: {**of, "at": f"{own}/{name}"} for name, of in manifest["files"].items()}
        whole = {**manifest, "files": files}
        try:
            for name in sorted(files):
                self.fs.put_file(str(source / name), self.path(*folder, own, name))
            if not self.create(json.dumps(whole).encode(), *folder, MANIFEST):
                raise FileExistsError(self.path(*folder))
        except Exception:
            with suppress(Exception):  # what is left of it is cleared some day
                self.remove(*folder, own)
            raise
        shutil.rmtree(source)
        return whole

    def strays(self) -> list[Name]:
        return [
            name
            for name, files in sorted(self._below("artifacts").items())
            if MANIFEST in files and _groups(files) > 1
        ]

    def put(self, source: Path, names: Iterable[str], *folder: str) -> None:
        for name in sorted(names, key=lambda one: (one == MANIFEST, one)):
            self.fs.put_file(str(source / name), self.path(*folder, name))

    def copy(
        self, source: tuple[str, ...], names: Iterable[str], manifest: bytes, *target: str
    ) -> None:
        for name in names:
            self.fs.cp_file(self.path(*source, name), self.path(*target, name))
        if not self.create(manifest, *target, MANIFEST):
            raise FileExistsError(self.path(*target))

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


def _groups(names: Iterable[str]) -> int:
    """How many commits and changes the files of a folder come from, at least."""
    first = {name.partition("/")[0] for name in names if name != MANIFEST}
    return len({name if name.startswith(OWN) else "" for name in first})


def _written(info: dict[str, Any]) -> float:
    """When a file was written, as the object store has it (Unix seconds)."""
    for field in ("LastModified", "last_modified", "updated", "mtime", "created"):
        found = info.get(field)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, str):
            return datetime.fromisoformat(found).timestamp()
        if isinstance(found, int | float):
            return float(found)
    raise OSError(f"the file system does not say when {info.get('name')} was written")


def _stamp(info: dict[str, Any]) -> str:
    for field in ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created"):
        if info.get(field):
            return f"{info[field]} {info['size']}"
    return ""
