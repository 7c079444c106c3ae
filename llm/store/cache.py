"""Local copies of an object store's artifacts: verified, bounded, and kept while they are in use."""

import fcntl
import json
import logging
import os
import shutil
import threading
import uuid
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from llm import durable
from llm.store.disk import folder_bytes
from llm.store.locks import Lock
from llm.store.names import MANIFEST, Artifact, Name

log = logging.getLogger(__name__)

# Copies of different artifacts may come at the same time, as many as there are locks.
LOCKS = 64


class Arrived(OSError):
    """A file came with other bytes than the manifest says."""


class Cache:
    """Copies in `folder`/<step>/<key>, which take up to `limit` bytes unless more are in use.

    A copy that was handed over with a pin stays until the pin is given back or its process ends.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._lock = Lock(folder / "lock")

    def get(
        self, artifact: Artifact, fetch: Callable[[str, Path], None], *, pin: bool = False
    ) -> Path:
        """A copy of the artifact as its manifest tells. fetch(name, target): brings one file.

        Raises Arrived where a file differs from the manifest.
        """
        step, key = artifact.name
        copy = self.folder / step / key
        with Lock(self.folder / "locks" / str(zlib.crc32(key.encode()) % LOCKS)).exclusive():
            with self._lock.exclusive():
                if pin:
                    self._pins.change(artifact.name, 1)
                if _is_copy(copy, artifact):
                    os.utime(copy)
                    return copy
            try:
                self._bring(artifact, fetch, copy)
            except BaseException:
                if pin:
                    self.unpin(artifact.name)
                raise
        return copy

    def _bring(self, artifact: Artifact, fetch: Callable[[str, Path], None], copy: Path) -> None:
        coming = self.folder / "coming" / uuid.uuid4().hex
        try:
            for name, expected in artifact.manifest["files"].items():
                target = coming / name
                target.parent.mkdir(parents=True, exist_ok=True)
                fetch(name, target)
                if durable.file_digest(target) != expected["digest"]:
                    raise Arrived(f"{'/'.join(artifact.name)}/{name} arrived damaged")
            durable.write_json(coming / MANIFEST, dict(artifact.manifest))
            with self._lock.exclusive():
                self._drop([copy])  # an older one, or one cut short
                self._make_room(folder_bytes(coming))
                durable.commit_folder(coming, copy)
        finally:
            shutil.rmtree(coming, ignore_errors=True)

    def unpin(self, name: Name) -> None:
        """Give a pin back; with a process's last one the cache is bounded again."""
        with self._lock.exclusive():
            self._pins.change(name, -1)
            total, over = self._noted()
            if over and not self._pins.counts:
                self._note(total, 0)
                self._make_room(0)

    def drop(self, name: Name) -> None:
        """Delete a copy, if there is one."""
        with self._lock.exclusive():
            self._drop([self.folder.joinpath(*name)])

    def clear(self) -> bool:
        """Delete every copy and what unfinished downloads left; True where there was something."""
        with self._lock.exclusive():
            copies = self._copies()
            self._drop(copies)
            coming = self.folder / "coming"
            there = bool(copies) or (coming.is_dir() and any(coming.iterdir()))
            shutil.rmtree(coming, ignore_errors=True)
            return there

    @property
    def _pins(self) -> "_Pins":
        return _Pins.of(self.folder / "pins")

    def _copies(self) -> list[Path]:
        inner = ("lock", "locks", "pins", "coming", "bytes")
        steps = [one for one in _listed(self.folder) if one.name not in inner]
        return [copy for step in steps for copy in _listed(step)]

    def _drop(self, copies: list[Path]) -> None:
        for copy in copies:
            # What is half deleted must not look like a copy.
            going = self.folder / "coming" / uuid.uuid4().hex
            going.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                copy.rename(going)
                shutil.rmtree(going)

    def _make_room(self, needed: int) -> None:
        """Drop the least recently used copies that nobody uses until `needed` bytes fit."""
        total, over = self._noted()
        total += needed
        # Once what is in use was too much, it is looked at again when there is a tenth more.
        if total > max(self.limit, over * 11 // 10):
            sizes = {copy: folder_bytes(copy) for copy in self._copies()}
            total = sum(sizes.values()) + needed
            pinned = self._pins.everyones() if total > self.limit else set()
            for copy in sorted(sizes, key=lambda one: one.stat().st_mtime):
                if total <= self.limit:
                    break
                if (copy.parent.name, copy.name) not in pinned:
                    self._drop([copy])
                    total -= sizes[copy]
            over = total if total > self.limit else 0
            if over:
                log.warning(
                    "the local copies in use take %s bytes, more than the cache's %s: they stay "
                    "until they are no longer in use",
                    f"{total:,}",
                    f"{self.limit:,}",
                )
        self._note(total, over)

    def _note(self, total: int, over: int) -> None:
        (self.folder / "bytes").write_text(f"{total} {over}")

    def _noted(self) -> tuple[int, int]:
        """What the copies took last, and how much that was when they were too much (bytes)."""
        try:
            total, over = (self.folder / "bytes").read_text().split()
            return int(total), int(over)
        except (OSError, ValueError):
            return self.limit + 1, 0  # not known: look


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_copy(copy: Path, artifact: Artifact) -> bool:
    """Whether a copy is of the artifact as it is now: a purge or a forced run may have changed it."""
    try:
        kept = json.loads((copy / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(kept["files"] == artifact.manifest["files"])


class _Pins:
    """The copies that a process uses, in a file that it holds locked; kill -9 frees it.

    Called under the cache's lock.
    """

    _known: dict[tuple[Path, int], "_Pins"] = {}  # noqa: RUF012 one a folder and process
    _guard = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / uuid.uuid4().hex
        self.counts: Counter[Name] = Counter()
        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self.handle, fcntl.LOCK_EX)

    @classmethod
    def of(cls, folder: Path) -> "_Pins":
        name = (folder, os.getpid())
        with cls._guard:
            if name not in cls._known:
                cls._known[name] = cls(folder)
            return cls._known[name]

    def change(self, name: Name, by: int) -> None:
        os.write(self.handle, f"{by} {'/'.join(name)}\n".encode())
        self.counts[name] += by
        if not self.counts[name]:
            del self.counts[name]
        if not self.counts:
            os.ftruncate(self.handle, 0)

    def everyones(self) -> set[Name]:
        """What any living process uses; files of dead ones are removed."""
        found: set[Name] = set()
        for path in _listed(self.folder):
            handle = os.open(path, os.O_RDWR)
            try:
                if path != self.path:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    continue
            except BlockingIOError:
                pass
            finally:
                os.close(handle)
            found |= _pinned(path)
        return found


def _pinned(path: Path) -> set[Name]:
    counts: Counter[Name] = Counter()
    for line in path.read_text("utf8").splitlines():
        by, _, name = line.partition(" ")
        step, _, key = name.partition("/")
        counts[step, key] += int(by)
    return {name for name, count in counts.items() if count > 0}
