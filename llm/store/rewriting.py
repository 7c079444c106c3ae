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
from llm.store.locks import Lock
from llm.store.manifest import parsed
from llm.store.names import MANIFEST, Name


class Rewriting:
    """The changes of a store's artifacts, one at a time. forget_copy: drops a local copy."""

    def __init__(self, backend: Backend, lock: Lock, forget_copy: Callable[[Name], None]) -> None:
        self.backend, self.lock, self.forget_copy = backend, lock, forget_copy

    def put(self, source: Path, step: str, key: str, manifest: Mapping[str, Any]) -> None:
        """Make a finished local folder, its manifest in it, the artifact, whatever lies there."""
        names = [*manifest["files"], MANIFEST]
        place = ("artifacts", step, key)
        # On a disk one rename does it where nothing is.
        if not (self.backend.sizes(*place) or self.backend.sizes("rewriting", step, key)):
            try:
                self.backend.put(source, names, *place)
                return
            except FileExistsError:
                pass  # another process has been quicker
        with self.lock.exclusive():
            self.finish(step, key)
            self.forget(step, key)
            if self._manifest("artifacts", step, key) is None:
                # What a killed removal or upload left.
                self.backend.remove(*place)
                self.backend.put(source, names, *place)
            else:
                self.backend.put(source, names, "rewriting", step, key)
                self.finish(step, key)

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
        for name in self.backend.sizes(*place):
            if name not in staged["files"]:
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
