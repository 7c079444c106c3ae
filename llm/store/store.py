"""Artifacts: immutable, content-addressed folders on a local disk or an object store.

    artifacts/<step>/<key>/   the files and manifest.json; no manifest, no artifact
    alike/<base>              the newest key with the same step, values and inputs, whatever the code
    work/<step>/<key>/        unfinished state, under a lock that kill -9 frees
    rewriting/<step>/<key>/   files that are about to replace those of an artifact
    going/                    what is being deleted (on a disk)
    aside/                    damaged artifacts, kept for a look until `penstock gc`
    cache/<step>/<key>/       local copies of an object store's artifacts
    leases/<step>/<key>/      who is making it (on an object store)

On a disk an artifact is committed by one rename; on an object store, which has none, its files
are uploaded first, each commit's to a folder of its own, and the manifest goes last, where none is.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from llm import durable
from llm.step import digest_of
from llm.store.cache import Cache
from llm.store.damage import differing, missing
from llm.store.lease import SECONDS, Leases, SharedLock
from llm.store.leftovers import Leftovers
from llm.store.lending import Lending
from llm.store.listing import summaries
from llm.store.locks import Lock
from llm.store.manifest import described, parsed
from llm.store.names import MANIFEST, Artifact, Name, Reference, Summary
from llm.store.opening import backend_at
from llm.store.rewriting import Rewriting
from llm.store.work import work_folder

log = logging.getLogger(__name__)


class Store:
    """A store at a path or an fsspec URL (`s3://bucket/penstock`, `memory://x`).

    scratch: where work folders and local copies live; on a local store, the store itself.
    """

    def __init__(
        self,
        url: str | Path,
        scratch: Path | None = None,
        cache_bytes: int = 100_000_000_000,
        lease_seconds: float = SECONDS,
    ) -> None:
        self.backend, disk = backend_at(str(url))
        self.is_local = disk is not None
        # An artifact is committed by a rename, which needs its work folder on the same disk.
        scratch = disk or scratch
        if scratch is None:
            raise ValueError(f"a store at {url} needs a local scratch folder")
        self.scratch = scratch
        self.cache = Cache(self.scratch / "cache", cache_bytes)
        self.leases = None if self.is_local else Leases(self.backend, scratch, lease_seconds)
        lock = Lock(self.scratch / "rewriting.lock")
        self.changing = SharedLock(lock, self.leases, "changing", "changes artifacts")
        self._rewriting = Rewriting(self.backend, self.changing, self._forget_copy)
        self._lending, self._leftovers = Lending(self), Leftovers(self, self._rewriting)

    def path(self, *parts: str) -> str:
        """The path of something in the store, for people."""
        return self.backend.path(*parts)

    # Reading

    def read(self, step: str, key: str) -> Artifact | None:
        """The artifact as its manifest tells, unchecked; None without a manifest.

        A manifest that cannot be read counts as damage: the artifact is set aside.
        """
        try:
            manifest = self._manifest(step, key)
            if manifest is None and self._rewriting.finish(step, key):
                manifest = self._manifest(step, key)
        except ValueError:
            return self._judge(step, key)
        return None if manifest is None else Artifact(manifest)

    def _manifest(self, step: str, key: str) -> dict[str, Any] | None:
        return parsed(self.backend.read("artifacts", step, key, MANIFEST))

    def find(self, step: str, key: str) -> Artifact | None:
        """The artifact, if every file is there with its size; a damaged one is set aside.

        One listing, no file is read: `verify` compares digests.
        """
        artifact = self.read(step, key)
        if artifact is None or not missing(self.backend, artifact):
            return artifact
        return self._judge(step, key)

    def _judge(self, step: str, key: str) -> Artifact | None:
        """Look again at an artifact that seems damaged, while nobody changes it.

        A purge or a forced run may have replaced it between two looks. Damaged, it is set aside.
        """
        with self.changing.exclusive():
            self._rewriting.finish(step, key)
            try:
                manifest = self._manifest(step, key)
                problems = [] if manifest is None else missing(self.backend, Artifact(manifest))
            except ValueError as error:
                manifest, problems = None, [f"its manifest is unreadable ({error})"]
            if problems:
                self.set_aside(step, key, "; ".join(problems[:3]))
                return None
            return None if manifest is None else Artifact(manifest)

    def verify(self, artifact: Artifact, *, set_aside: bool = False) -> list[str]:
        """Compare every file with its digest; a list of what is wrong, empty when intact.

        Read where the artifact lies, not in a local copy. What was removed or replaced meanwhile
        is not wrong. set_aside: take a damaged artifact out of use.
        """
        if not differing(self.backend, artifact):
            return []
        with self.changing.exclusive():
            step, key = artifact.name
            self._rewriting.finish(step, key)
            try:
                manifest = self._manifest(step, key)
                problems = [] if manifest is None else differing(self.backend, Artifact(manifest))
            except ValueError as error:
                problems = [f"its manifest is unreadable ({error})"]
            if problems and set_aside:
                self.set_aside(step, key, "; ".join(problems[:3]))
            return problems

    def names(self, step: str | None = None) -> list[Name]:
        """Step and key of every artifact (of a step), sorted: a listing alone, nothing is read."""
        return sorted(self.backend.manifests(step))

    def summaries(self) -> dict[Name, Summary]:
        """Every artifact's size and inputs; a manifest is read once, and again if it changed."""
        return summaries(self)

    def artifacts(self, step: str | None = None) -> Iterator[Artifact]:
        """Every artifact (of a step), by step and key."""
        for name in self.names(step):
            artifact = self.read(*name)
            if artifact is not None:
                yield artifact

    def alike(self, base: str) -> Artifact | None:
        """The newest intact artifact with the same step, values and inputs, whatever the code."""
        found = self.backend.read("alike", base)
        if found is None:
            return None
        step, key = json.loads(found)
        return self.find(step, key)

    # Folders to read from

    def borrowing(self) -> AbstractContextManager[None]:
        """Within it, in this thread, whatever `local` hands over stays where it is."""
        return self._lending.borrowing()

    def local(self, reference: Reference) -> Path:
        """A local folder with the artifact's files: itself, or a verified copy.

        Outside `borrowing` a copy may be dropped as soon as another needs its room. Raises
        FileNotFoundError when the artifact is gone, or damaged and set aside.
        """
        return self._lending.local(reference)

    def _forget_copy(self, name: Name) -> None:
        if not self.is_local:
            self.cache.drop(name)

    # Writing

    @contextmanager
    def work(
        self, step: str, key: str, wanted_by: Mapping[str, Any] | None = None
    ) -> Iterator[Path]:
        """Hold the work folder of a key: state left by a killed try is still in it.

        Waits while another process holds it. The lock is the operating system's: kill -9 frees it.
        Between machines, on an object store, it is a lease (see `llm.store.lease`).
        wanted_by: who makes it, told to garbage collection while it is unfinished.
        """
        with ExitStack() as stack:
            folder = work_folder(self.scratch / "work" / step / key, wanted_by)
            inner = stack.enter_context(folder)
            if self.leases is not None:
                what = f"is making {step}/{key[:12]}"
                stack.enter_context(self.leases.hold(step, key, what=what))
            yield inner

    def commit(
        self, source: Path, manifest: Mapping[str, Any], base: str, *, replace: bool = True
    ) -> Artifact:
        """Make the folder `source` the artifact that `manifest` names; all or nothing.

        `manifest` has step, key, content (None: computed from the files) and what else is known.
        An artifact of the same key is replaced (a forced run), unless its content is the same; without
        `replace` it stays and is returned: another machine has been quicker.
        Raises OSError, such as no space left on the device, with nothing changed.
        """
        files = described(source)
        content = manifest["content"] or digest_of(
            item for name in files for item in (name, str(files[name]["digest"]))
        )
        whole = {**manifest, "content": content, "files": files}
        step, key = whole["step"], whole["key"]
        before = self.find(step, key)
        if before is not None and (not replace or before.manifest["content"] == content):
            shutil.rmtree(source)
            return before
        there = self._rewriting.put(source, step, key, whole, replace=replace)
        self.backend.write(json.dumps([step, key]).encode(), "alike", base)
        return Artifact(there)

    def keep_as(self, artifact: Artifact, manifest: Mapping[str, Any], base: str) -> Artifact:
        """Make an artifact also the one that `manifest` names: the same files under another key.

        `manifest` has step, key and what else is known; content and files are the artifact's. One
        that is there stays.
        """
        whole = {**manifest, **{name: artifact.manifest[name] for name in ("content", "files")}}
        step, key = whole["step"], whole["key"]
        with self.changing.exclusive():
            found = self.find(step, key)
            if found is not None:
                return found
            self.backend.remove("artifacts", step, key)  # what a kill left without a manifest
            data = json.dumps(whole).encode()
            place = ("artifacts", *artifact.name)
            self.backend.copy(place, artifact.places.values(), data, "artifacts", step, key)
        self.backend.write(json.dumps([step, key]).encode(), "alike", base)
        return Artifact(whole)

    def rewrite(
        self, reference: Reference, change: Callable[[Path, Path], Mapping[str, Any] | None]
    ) -> Artifact | None:
        """Replace files of an artifact: the one exception to "never changed", for erasure.

        change(folder, out): reads the artifact in `folder`, writes the files that take the place
        of those of the same names (or are new) into `out`, an empty folder, and returns what
        changes in the manifest; None: nothing is to change. Key, content and parts stay, so that
        no later step runs again because of it.

        All or nothing: a kill leaves the artifact as it was, or staged whole in `rewriting/`, and
        then whoever reads it next puts the files in place. Not for while a run reads it.
        Returns the artifact as it is now; None where it is gone.
        """
        step, key = reference.step, reference.key
        with self.changing.exclusive(), self.borrowing():
            self._rewriting.finish(step, key)
            before = self._manifest(step, key)
            if before is None:
                return None
            self._rewriting.forget(step, key)
            out = durable.empty_folder(self.scratch / "rewriting" / step / key)
            fields = change(self.local(reference), out)
            if fields is None:
                shutil.rmtree(out)
                self._rewriting.forget(step, key)
                return Artifact(before)
            files = described(out)
            whole = {**before, **fields, "files": {**before["files"], **files}}
            self._rewriting.stage(out, step, key, whole, files)
            self._rewriting.finish(step, key)
            return Artifact(whole)

    # Removing

    def set_aside(self, step: str, key: str, why: str) -> None:
        """Take a damaged artifact out of use, with a warning; the step will make it again."""
        aside = ("aside", f"{step}-{key}-{time.time_ns()}")
        log.warning(
            "the artifact %s/%s is damaged: %s. It is set aside at %s",
            step,
            key[:12],
            why,
            self.path(*aside),
        )
        with self.changing.exclusive():
            self.backend.move(("artifacts", step, key), aside)
            self._forget_copy((step, key))

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact for good, and its local copy."""
        self.remove_named(artifact.name)

    def remove_named(self, name: Name) -> None:
        """Delete what lies at a step and key, for good, and its local copy."""
        with self.changing.exclusive():
            self._rewriting.forget(*name)
            self.backend.remove("artifacts", *name)
            self._forget_copy(name)

    def clear(self) -> list[str]:
        """Finish or delete what killed commits, rewritings and removals left; returns the paths.

        Not for while a run makes artifacts: on an object store those that are on their way have no
        manifest yet.
        """
        return self._leftovers.clear()

    def left_over(self) -> dict[str, int]:
        """What `clear` and `clear_aside` would delete: path → bytes."""
        return self._leftovers.left_over()

    def clear_aside(self) -> list[str]:
        """Delete the damaged artifacts that were set aside; returns where they were."""
        return [self.path("aside")] if self.backend.clear("aside") else []
