"""Pointers: names of what is in use, moved by compare and swap."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm import durable
from llm.step import BadInput
from llm.store.backend import Backend
from llm.store.locks import Lock

FOLDER = "pointers"


class Pointers:
    """A file for each pointer, on a disk: what it names now, and what it named before.

    A lock keeps two from moving one at the same time. locks: the folder that they lie in.
    """

    def __init__(self, place: Backend, locks: Path) -> None:
        self.place, self.locks = place, locks

    def get(self, name: str) -> dict[str, Any] | None:
        """What a pointer names now; None where it was never set. Raises BadInput."""
        found = self._read(name)[1]
        return None if found is None else found["now"]

    def _read(self, name: str) -> tuple[int, dict[str, Any] | None]:
        """A pointer's file, and its number (of use to `SharedPointers`)."""
        return 0, self._parsed(self.place.read(FOLDER, f"{name}.json"), f"{name}.json")

    def _parsed(self, data: bytes | None, file: str) -> dict[str, Any] | None:
        if data is None:
            return None
        try:
            found = json.loads(data)
            if not (isinstance(found["now"], dict) and isinstance(found["history"], list)):
                raise TypeError("it names nothing")
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"the pointer {self.place.path(FOLDER, file)} is damaged ({error}): restore it from a "
                "backup, or delete it to have it set by the next run"
            ) from None
        return dict(found)

    def move(self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
        """Compare and swap: moves only if the pointer still names `expected`. Keeps its history."""
        with Lock(self.locks / f"{name}.lock").exclusive():
            number, found = self._read(name)
            now = None if found is None else found["now"]
            if now != expected:
                return False
            entry = {**new, "moved_at": time.time()}
            before = [] if found is None else found["history"]
            return self._write(name, number, dict(new), before, entry)

    def _write(
        self, name: str, number: int, now: dict[str, Any], before: list[Any], entry: dict[str, Any]
    ) -> bool:
        data = durable.json_bytes({"now": now, "history": [*before, entry]})
        self.place.write(data, FOLDER, f"{name}.json")
        return True

    def all(self) -> dict[str, Any]:
        """Every pointer's value; damaged ones are left out."""
        found = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except BadInput:
                continue
        return found

    def damaged(self) -> dict[Path, str]:
        """The files that cannot be read, and why."""
        found = {}
        for name in self.names():
            try:
                self.get(name)
            except BadInput as error:
                found[Path(self.place.path(*self.file(name)))] = str(error)
        return found

    def names(self) -> list[str]:
        """The names of all pointers."""
        found = sorted(self.place.stamps(FOLDER))
        return [name.removesuffix(".json") for name in found if name.endswith(".json")]

    def file(self, name: str) -> tuple[str, ...]:
        """Where a pointer's newest file lies."""
        return FOLDER, f"{name}.json"


class SharedPointers(Pointers):
    """Pointers on an object store: `pointers/<name>/<number>.json`, of which the highest counts.

    To move one, the next number is created where there is none (a conditional put): of two machines
    that move it at the same time one is told that it was too late. All files stay: they are the
    history, and a machine that slept finds its number taken, however long it slept.
    """

    def _read(self, name: str) -> tuple[int, dict[str, Any] | None]:
        number = max(self._numbers(name), default=0)
        data = self.place.read(FOLDER, name, _file(number)) if number else None
        return number, self._parsed(data, f"{name}/{_file(number)}")

    def _write(
        self, name: str, number: int, now: dict[str, Any], before: list[Any], entry: dict[str, Any]
    ) -> bool:
        data = durable.json_bytes({"now": now, "history": [entry]})
        return self.place.create(data, FOLDER, name, _file(number + 1))

    def bring(self, name: str, data: bytes) -> None:
        """Take a pointer's file of a disk over, unless the pointer is here already."""
        if not self._numbers(name):
            self.place.create(data, FOLDER, name, _file(1))

    def _numbers(self, name: str) -> list[int]:
        files = [file.removesuffix(".json") for file in self.place.sizes(FOLDER, name)]
        return sorted(int(file) for file in files if file.isdigit())

    def names(self) -> list[str]:
        return sorted({path.partition("/")[0] for path in self.place.sizes(FOLDER) if "/" in path})

    def file(self, name: str) -> tuple[str, ...]:
        return FOLDER, name, _file(max(self._numbers(name), default=1))


def _file(number: int) -> str:
    return f"{number:08d}.json"
