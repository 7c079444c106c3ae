"""A store on a local disk: whole folders come and go by one rename."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm import durable
from llm.store.names import MANIFEST, Name

GOING = "going"


class Disk:
    """Files below a folder. See `llm.store.backend.Backend`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Paths as text: a plan looks at tens of thousands of artifacts.
        self._root = str(root)

    def path(self, *parts: str) -> str:
        return str(self.root.joinpath(*parts))

    def read(self, *parts: str) -> bytes | None:
        try:
            with open(os.path.join(self._root, *parts), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, data: bytes, *parts: str) -> None:
        durable.write_bytes(self.root.joinpath(*parts), data)

    def sizes(self, *folder: str) -> dict[str, int]:
        found: dict[str, int] = {}
        waiting = [(os.path.join(self._root, *folder), "")]
        while waiting:
            path, prefix = waiting.pop()
            # A folder may be moved away while it is listed.
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, f"{prefix}{entry.name}/"))
                    else:
                        found[prefix + entry.name] = entry.stat().st_size
        return found

    def stamps(self, folder: str) -> dict[str, str]:
        found = {}
        with suppress(FileNotFoundError), os.scandir(self.root / folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if not entry.name.startswith(".") and entry.is_file():
                        found[entry.name] = durable.stamp(entry.stat())
        return found

    def stamp(self, *parts: str) -> str | None:
        try:
            return durable.stamp(self.root.joinpath(*parts).stat())
        except FileNotFoundError:
            return None

    def manifests(self, step: str | None = None) -> dict[Name, str]:
        found = {}
        for name in self.folders("artifacts", step):
            with suppress(FileNotFoundError, NotADirectoryError):
                stat = self.root.joinpath("artifacts", *name, MANIFEST).stat()
                found[name] = durable.stamp(stat)
        return found

    def folders(self, top: str, step: str | None = None) -> list[Name]:
        steps = [step] if step is not None else _children(self.root / top)
        return [(one, key) for one in steps for key in _children(self.root / top / one)]

    def digest(self, *parts: str) -> str:
        return durable.file_digest(self.root.joinpath(*parts))

    def create(self, data: bytes, *parts: str) -> bool:
        place = self.root.joinpath(*parts)
        coming = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
        coming.parent.mkdir(parents=True, exist_ok=True)
        try:
            durable.write_bytes(coming, data)
            os.link(coming, place)
        except FileExistsError:
            return False
        finally:
            coming.unlink(missing_ok=True)
        durable.sync_folder(place.parent)
        return True

    def ages(self, *folder: str) -> dict[str, float]:
        place = self.root.joinpath(*folder)
        now = time.time()
        return {name: now - (place / name).stat().st_mtime for name in self.sizes(*folder)}

    def strays(self) -> list[Name]:
        return []

    def commit(self, source: Path, manifest: Mapping[str, Any], *folder: str) -> dict[str, Any]:
        durable.write_json(source / MANIFEST, dict(manifest))
        self.put(source, (), *folder)
        return dict(manifest)

    def put(self, source: Path, names: Iterable[str], *folder: str) -> None:
        try:
            durable.commit_folder(source, self.root.joinpath(*folder))
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(error.errno, error.strerror, self.path(*folder)) from None
            raise

    def copy(
        self, source: tuple[str, ...], names: Iterable[str], manifest: bytes, *target: str
    ) -> None:
        coming = self.root / GOING / f"coming-{uuid.uuid4().hex}"  # what a kill leaves is cleared
        try:
            for name in names:
                place = coming / name
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(self.root.joinpath(*source, name), place)
            (coming / MANIFEST).write_bytes(manifest)
            self.put(coming, (), *target)
        finally:
            shutil.rmtree(coming, ignore_errors=True)

    def move_file(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        place = self.root.joinpath(*target)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.root.joinpath(*source).replace(place)
        durable.sync_folder(place.parent)

    def remove_file(self, *parts: str) -> None:
        path = self.root.joinpath(*parts)
        with suppress(FileNotFoundError):
            path.unlink()
            durable.sync_folder(path.parent)

    def remove(self, *folder: str) -> None:
        going = self.root / GOING / f"{'-'.join(folder[1:])}-{uuid.uuid4().hex[:8]}"
        place = self.root.joinpath(*folder)
        if not place.exists():
            return
        self._rename(place, going)
        shutil.rmtree(going)
        if folder[0] == "rewriting":
            with suppress(OSError):
                place.parent.rmdir()  # the step's, where it was the last of it

    def move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        self._rename(self.root.joinpath(*source), self.root.joinpath(*target))

    def _rename(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        durable.sync_folder(target.parent)
        durable.sync_folder(source.parent)

    def clear(self, top: str) -> bool:
        names = _children(self.root / top, hidden=True)
        for name in names:
            path = self.root / top / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return bool(names)

    def fetch(self, target: Path, *parts: str) -> None:
        shutil.copyfile(self.root.joinpath(*parts), target)


def _link(source: Path, target: Path) -> None:
    """The same file by another name: nothing ever writes into a file of an artifact."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links, or a file with as many as it can have
        shutil.copyfile(source, target)


def _children(folder: Path, *, hidden: bool = False) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(one.name for one in entries if hidden or not one.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(Disk(folder).sizes().values())
