"""Pointers: names of what is in use, moved by compare and swap."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm import durable
from llm.step import BadInput
from llm.store.locks import Lock


class Pointers:
    """A file for each pointer: what it names now, and what it named before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pointers"

    def get(self, name: str) -> dict[str, Any] | None:
        """What a pointer names now; None where it was never set. Raises BadInput."""
        found = self._read(name)
        return None if found is None else found["now"]

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        try:
            found = json.loads(path.read_bytes())
            if not (isinstance(found["now"], dict) and isinstance(found["history"], list)):
                raise TypeError("it names nothing")
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"the pointer {path} is damaged ({error}): restore it from a backup, or delete it "
                "to have it set by the next run"
            ) from None
        return dict(found)

    def move(self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
        """Compare and swap: moves only if the pointer still names `expected`. Keeps its history."""
        with Lock(self.folder / f"{name}.lock").exclusive():
            found = self._read(name)
            now = None if found is None else found["now"]
            if now != expected:
                return False
            history = [] if found is None else found["history"]
            entry = {**new, "moved_at": time.time()}
            path = self.folder / f"{name}.json"
            durable.write_json(path, {"now": dict(new), "history": [*history, entry]})
            return True

    def all(self) -> dict[str, Any]:
        """Every pointer's value; damaged ones are left out."""
        found = {}
        for path in self.files():
            try:
                found[path.stem] = self.get(path.stem)
            except BadInput:
                continue
        return found

    def damaged(self) -> dict[Path, str]:
        """The files that cannot be read, and why."""
        found = {}
        for path in self.files():
            try:
                self.get(path.stem)
            except BadInput as error:
                found[path] = str(error)
        return found

    def files(self) -> list[Path]:
        """The files of all pointers."""
        return sorted(self.folder.glob("[!.]*.json"))
