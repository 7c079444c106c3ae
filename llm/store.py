"""Artifacts: immutable, content-addressed folders on a local disk or an object store.

    artifacts/<step>/<key>/   the files and manifest.json; no manifest, no artifact
    alike/<base>              the newest key with the same step, values and inputs, whatever the code
    work/<step>/<key>/        unfinished state, under a lock that kill -9 frees
    aside/                    damaged artifacts, kept for a look until `penstock gc`
    rewriting/                files that are about to replace those of an artifact (an erasure)

On a disk an artifact is committed by one rename; on an object store, which has none, its files
are uploaded first and the manifest goes last.
"""

import dataclasses
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from llm import durable
from llm.step import digest_of

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Reference:
    """What names an artifact, or one part of it, for a later step. Plain data."""

    step: str
    key: str
    content: str
    part: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for run records and flow parameters."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reference":
        """The inverse of `to_json`."""
        return cls(**value)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A finished artifact: its manifest, read."""

    manifest: Mapping[str, Any]

    @property
    def reference(self) -> Reference:
        """The name of the whole artifact."""
        return Reference(self.manifest["step"], self.manifest["key"], self.manifest["content"])

    @property
    def parts(self) -> dict[str, Reference]:
        """The names of its parts, in order."""
        whole = self.reference
        return {
            part: Reference(whole.step, whole.key, content, part)
            for part, content in sorted(self.manifest["parts"].items())
        }

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(item["bytes"] for item in self.manifest["files"].values())


class Store:
    """A store at a path or an fsspec URL (`s3://bucket/penstock`, `memory://x`).

    scratch: where work folders and local copies live; on a local store, the store itself.
    """

    def __init__(
        self, url: str | Path, scratch: Path | None = None, cache_bytes: int = 100_000_000_000
    ) -> None:
        self.fs, self.root = fsspec.core.url_to_fs(str(url))
        self.is_local = "file" in (
            self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)
        )
        if not self.is_local and scratch is None:
            raise ValueError(f"a store at {url} needs a local scratch folder")
        # An artifact is committed by a rename, which needs its work folder on the same disk.
        self.scratch = Path(self.root) if self.is_local or scratch is None else scratch
        self.cache_bytes = cache_bytes

    def _path(self, *parts: str) -> str:
        return str(PurePosixPath(self.root, *parts))

    # Reading

    def read(self, step: str, key: str) -> Artifact | None:
        """The artifact as its manifest tells, unchecked; None without a manifest.

        A manifest that cannot be read counts as damage: it is set aside.
        """
        try:
            manifest = self._manifest("artifacts", step, key)
            if manifest is None and self._manifest("rewriting", f"{step}-{key}") is not None:
                with self._rewriting():
                    self._finish_rewriting(step, key)
                manifest = self._manifest("artifacts", step, key)
        except ValueError as error:
            self.set_aside(step, key, f"its manifest is unreadable ({error})")
            return None
        return None if manifest is None else Artifact(manifest)

    def _manifest(self, *folder: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self.fs.cat_file(self._path(*folder, MANIFEST)))
        except FileNotFoundError:
            return None
        return found

    def find(self, step: str, key: str) -> Artifact | None:
        """The artifact, if every file is there with its size; a damaged one is set aside.

        One listing, no file is read: `verify` compares digests.
        """
        artifact = self.read(step, key)
        if artifact is None:
            return None
        problems = self._missing(artifact)
        if problems:
            self.set_aside(step, key, "; ".join(problems[:3]))
            return None
        return artifact

    def _missing(self, artifact: Artifact) -> list[str]:
        reference = artifact.reference
        folder = self._path("artifacts", reference.step, reference.key)
        sizes = {
            str(PurePosixPath(path).relative_to(folder)): info["size"]
            for path, info in self.fs.find(folder, detail=True).items()
        }
        problems = []
        for name, expected in artifact.manifest["files"].items():
            if name not in sizes:
                problems.append(f"{name} is missing")
            elif sizes[name] != expected["bytes"]:
                problems.append(f"{name} has {sizes[name]} bytes instead of {expected['bytes']}")
        return problems

    def verify(self, artifact: Artifact) -> list[str]:
        """Compare every file with its digest; a list of what is wrong, empty when intact."""
        problems = self._missing(artifact)
        if problems:
            return problems
        folder = self.local(artifact.reference)
        for name, expected in artifact.manifest["files"].items():
            if durable.file_digest(folder / name) != expected["digest"]:
                problems.append(f"{name} does not match its digest")
        return problems

    def local(self, reference: Reference) -> Path:
        """A local folder with the artifact's files: itself, or a verified copy.

        Raises FileNotFoundError when the artifact is gone.
        """
        if self.is_local:
            folder = Path(self._path("artifacts", reference.step, reference.key))
            if not (folder / MANIFEST).is_file():
                raise FileNotFoundError(f"the artifact {reference.step}/{reference.key} is gone")
            return folder
        copy = self.scratch / "cache" / reference.step / reference.key
        if not copy.exists():
            self._download(reference, copy)
        os.utime(copy)
        return copy

    def _download(self, reference: Reference, copy: Path) -> None:
        artifact = self.read(reference.step, reference.key)
        if artifact is None:
            raise FileNotFoundError(f"the artifact {reference.step}/{reference.key} is gone")
        aside = durable.empty_folder(copy.with_name(f".{copy.name}.{os.getpid()}"))
        for name, expected in artifact.manifest["files"].items():
            target = aside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(
                self._path("artifacts", reference.step, reference.key, name), str(target)
            )
            if durable.file_digest(target) != expected["digest"]:
                raise OSError(f"{reference.step}/{reference.key}/{name} arrived damaged")
        durable.write_json(aside / MANIFEST, dict(artifact.manifest))
        self._make_room(artifact.bytes)
        durable.commit_folder(aside, copy)

    def _make_room(self, needed: int) -> None:
        """Drop the least recently used copies until `needed` bytes fit into the cache."""
        copies = sorted(
            (self.scratch / "cache").glob("*/[0-9a-f]*"), key=lambda at: at.stat().st_mtime
        )
        sizes = {copy: folder_bytes(copy) for copy in copies}
        total = sum(sizes.values()) + needed
        for copy in copies:
            if total <= self.cache_bytes:
                return
            shutil.rmtree(copy)
            total -= sizes[copy]

    def artifacts(self, step: str = "*") -> Iterator[Artifact]:
        """Every artifact (of a step), by step and key."""
        for path in sorted(self.fs.glob(self._path("artifacts", step, "*", MANIFEST))):
            artifact = self.read(*PurePosixPath(path).parts[-3:-1])
            if artifact is not None:
                yield artifact

    def alike(self, base: str) -> Artifact | None:
        """The newest intact artifact with the same step, values and inputs, whatever the code."""
        try:
            step, key = json.loads(self.fs.cat_file(self._path("alike", base)))
        except FileNotFoundError:
            return None
        return self.find(step, key)

    # Writing

    @contextmanager
    def work(self, step: str, key: str) -> Iterator[Path]:
        """Hold the work folder of a key: state left by a killed try is still in it.

        Waits while another process holds it. The lock is the operating system's: kill -9 frees it.
        """
        folder = self.scratch / "work" / step / key
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
            except (FileNotFoundError, FileExistsError):
                continue  # the one before finished and removed the folder just now
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another run is making %s/%s: waiting for it", step, key[:12])
                fcntl.flock(handle, fcntl.LOCK_EX)
            # The one before may have finished and removed the folder while this one waited.
            try:
                if os.fstat(handle).st_ino == (folder / "lock").stat().st_ino:
                    break
            except FileNotFoundError:
                pass
            os.close(handle)
        try:
            yield folder
        finally:
            os.close(handle)

    def commit(self, source: Path, manifest: Mapping[str, Any], base: str) -> Artifact:
        """Make the folder `source` the artifact that `manifest` names; all or nothing.

        `manifest` has step, key, content (None: computed from the files) and what else is known.
        An artifact of the same key (a forced run) is replaced, unless its content is the same.
        Raises OSError, such as no space left on the device, with nothing changed.
        """
        files = {
            str(path.relative_to(source)): {
                "bytes": path.stat().st_size,
                "digest": durable.file_digest(path),
            }
            for path in sorted(source.rglob("*"))
            if path.is_file()
        }
        content = manifest["content"] or digest_of(
            item for name in files for item in (name, str(files[name]["digest"]))
        )
        whole = {**manifest, "content": content, "files": files}
        step, key = whole["step"], whole["key"]
        before = self.find(step, key)
        if before is not None and before.manifest["content"] == content:
            shutil.rmtree(source)
            return before
        if before is not None:
            self._remove(step, key)
        durable.write_json(source / MANIFEST, whole)
        if self.is_local:
            durable.commit_folder(source, Path(self._path("artifacts", step, key)))
            durable.write_json(Path(self._path("alike", base)), [step, key])
        else:
            folder = self._path("artifacts", step, key)
            for name in files:
                self.fs.put_file(str(source / name), f"{folder}/{name}")
            self.fs.put_file(str(source / MANIFEST), f"{folder}/{MANIFEST}")
            self.fs.pipe_file(self._path("alike", base), json.dumps([step, key]).encode())
        return Artifact(whole)

    def rewrite(
        self, reference: Reference, change: Callable[[Path, Path], Mapping[str, Any] | None]
    ) -> Artifact | None:
        """Replace files of an artifact: the one exception to "never changed", for erasure.

        change(folder, out): reads the artifact in `folder`, writes the files that take the place
        of those of the same names (or are new) into `out`, an empty folder, and returns what
        changes in the manifest; None: nothing is to change. Key, content and parts stay, so that
        no later step runs anew because of it.

        All or nothing: a kill leaves the artifact as it was, or staged whole in `rewriting/`, and
        then whoever reads it next puts the files in place. Not for while a run reads it.
        Returns the artifact as it is now; None where it is gone.
        """
        step, key = reference.step, reference.key
        with self._rewriting():
            self._finish_rewriting(step, key)
            before = self._manifest("artifacts", step, key)
            if before is None:
                return None
            staging = self._path("rewriting", f"{step}-{key}")
            out = Path(staging) if self.is_local else self.scratch / "rewriting" / f"{step}-{key}"
            durable.empty_folder(out)
            fields = change(self.local(reference), out)
            if fields is None:
                shutil.rmtree(out)
                return Artifact(before)
            files = {
                str(path.relative_to(out)): {
                    "bytes": path.stat().st_size,
                    "digest": durable.file_digest(path),
                }
                for path in sorted(out.rglob("*"))
                if path.is_file()
            }
            whole = {**before, **fields, "files": {**before["files"], **files}}
            if self.is_local:
                durable.sync_tree(out)
            else:
                for name in files:
                    self.fs.put_file(str(out / name), f"{staging}/{name}")
                shutil.rmtree(out)
            # From here on it will be carried out, whatever happens.
            self._put_json(f"{staging}/{MANIFEST}", whole)
            self._finish_rewriting(step, key)
            return Artifact(whole)

    def finish_rewriting(self) -> None:
        """Put in place what killed rewritings staged whole, and drop what they left unfinished."""
        with self._rewriting():
            for path in self.fs.glob(self._path("rewriting", "*")):
                step, _, key = PurePosixPath(path).name.rpartition("-")
                self._finish_rewriting(step, key)
            with suppress(FileNotFoundError):
                self.fs.rm(self._path("rewriting"), recursive=True)

    @contextmanager
    def _rewriting(self) -> Iterator[None]:
        """One rewriting at a time; kill -9 frees the lock."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with (self.scratch / "rewriting.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _finish_rewriting(self, step: str, key: str) -> None:
        """Put staged files in place; may be cut off anywhere and started again.

        Meanwhile there is no manifest, so no artifact: nobody takes half of each for a whole.
        """
        staging = self._path("rewriting", f"{step}-{key}")
        folder = self._path("artifacts", step, key)
        staged = self._manifest("rewriting", f"{step}-{key}")
        if staged is None:
            return
        if self._manifest("artifacts", step, key) != staged:
            with suppress(FileNotFoundError):
                self.fs.rm_file(f"{folder}/{MANIFEST}")
            for path in self.fs.find(staging):
                name = str(PurePosixPath(path).relative_to(staging))
                if name == MANIFEST:
                    continue
                if self.is_local:
                    target = Path(folder, name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Path(path).replace(target)
                    durable.sync_folder(target.parent)
                else:
                    self.fs.cp_file(path, f"{folder}/{name}")
            if not self.is_local:
                shutil.rmtree(self.scratch / "cache" / step / key, ignore_errors=True)
            self._put_json(f"{folder}/{MANIFEST}", staged)
        self.fs.rm(staging, recursive=True)

    def _put_json(self, path: str, value: Mapping[str, Any]) -> None:
        if self.is_local:
            durable.write_json(Path(path), value)
        else:
            self.fs.pipe_file(path, json.dumps(value).encode())

    def set_aside(self, step: str, key: str, why: str) -> None:
        """Take a damaged artifact out of use, with a warning; the step will make it again."""
        target = self._path("aside", f"{step}-{key}-{time.time_ns()}")
        log.warning(
            "the artifact %s/%s is damaged: %s. It is set aside at %s", step, key[:12], why, target
        )
        self.fs.makedirs(self._path("aside"), exist_ok=True)
        self.fs.mv(self._path("artifacts", step, key), target, recursive=True)

    def _remove(self, step: str, key: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm(self._path("rewriting", f"{step}-{key}"), recursive=True)
        # The manifest first: without it, what is left is no artifact.
        self.fs.rm_file(self._path("artifacts", step, key, MANIFEST))
        self.fs.rm(self._path("artifacts", step, key), recursive=True)

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact for good, and its local copy."""
        step, key = artifact.reference.step, artifact.reference.key
        self._remove(step, key)
        if not self.is_local:
            shutil.rmtree(self.scratch / "cache" / step / key, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
