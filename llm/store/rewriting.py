"""Changing what lies at an artifact's place, so that a kill leaves the old or the new, whole.

New files are staged in `rewriting/<step>/<key>` with the manifest as it will be. Once that is
there, the change will be carried out: by whoever made it, or by whoever reads the artifact next.
Meanwhile the artifact has no manifest, so nobody takes half of each for a whole.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from llm import durable
from llm.store.backend import Backend
from llm.store.lease import SharedLock
from llm.store.manifest import parsed
from llm.store.names import MANIFEST, Artifact, Name


class Rewriting:
    """The changes of a store's artifacts, one at a time. forget_copy: drops a local copy."""

    def __init__(
        self, backend: Backend, lock: SharedLock, forget_copy: Callable[[Name], None]
    ) -> None:
        self.backend, self.lock, self.forget_copy = backend, lock, forget_copy

    def put(
        self, source: Path, step: str, key: str, manifest: Mapping[str, Any], *, replace: bool
    ) -> dict[str, Any]:
        """Make a finished local folder the artifact; returns the manifest that is there then.

        replace: whatever is there already; else that stays.
        """
        place = ("artifacts", step, key)
        try:
            return self.backend.commit(source, manifest, *place)
        except FileExistsError:
            pass  # another process has been quicker, or it is to be replaced
        with self.lock.exclusive():
            self.finish(step, key)
            self.forget(step, key)
            there = self._manifest("artifacts", step, key)
            if there is None:
                self.backend.remove(*place)  # what a killed removal or upload left
                return self.backend.commit(source, manifest, *place)
            if not replace:
                shutil.rmtree(source)
                return there
            durable.write_json(source / MANIFEST, dict(manifest))
            self.backend.put(source, [*manifest["files"], MANIFEST], "rewriting", step, key)
            self.finish(step, key)
            return dict(manifest)

    def stage(
        self, out: Path, step: str, key: str, manifest: Mapping[str, Any], names: Iterable[str]
    ) -> None:
        """Stage the files `names` of a local folder and the manifest; then it will be carried out."""
        place = ("rewriting", step, key)
        if Path(self.backend.path(*place)) == out:
            durable.sync_tree(out)
        else:
            self.backend.put(out, names, *place)
            shutil.rmtree(out)
        self.backend.write(json.dumps(manifest).encode(), *place, MANIFEST)

    def finish(self, step: str, key: str) -> bool:
        """Carry out what is staged whole; True where something was. May be cut off anywhere."""
        if self._staged(step, key) is None:
            return False
        with self.lock.exclusive():
            staged = self._staged(step, key)
            if staged is None:
                return True  # somebody else has just done it
            place = ("artifacts", step, key)
            if self._manifest(*place) != staged:
                self._carry_out(place, ("rewriting", step, key), staged)
            self.forget(step, key)
        return True

    def _carry_out(
        self, place: tuple[str, str, str], staging: tuple[str, str, str], staged: dict[str, Any]
    ) -> None:
        self.backend.remove_file(*place, MANIFEST)
        for name in self.backend.sizes(*staging):
            if name != MANIFEST:
                self.backend.move_file((*staging, name), (*place, name))
        kept = set(Artifact(staged).places.values())
        for name in self.backend.sizes(*place):
            if name not in kept:
                self.backend.remove_file(*place, name)
        self.forget_copy((place[1], place[2]))
        self.backend.write(json.dumps(staged).encode(), *place, MANIFEST)

    def forget(self, step: str, key: str) -> None:
        """Drop what is staged, whole or not."""
        self.backend.remove("rewriting", step, key)

    def finish_all(self) -> None:
        """Carry out what killed changes staged whole, and drop what they left unfinished."""
        with self.lock.exclusive():
            for name in self.backend.folders("rewriting"):
                self.finish(*name)
                self.forget(*name)
            self.backend.clear("rewriting")

    def _staged(self, step: str, key: str) -> dict[str, Any] | None:
        return self._manifest("rewriting", step, key)

    def _manifest(self, *folder: str) -> dict[str, Any] | None:
        try:
            return parsed(self.backend.read(*folder, MANIFEST))
        except ValueError:
            return None
