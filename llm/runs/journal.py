"""Calls as they ended, beside a run's record: a run that dies in a stage still refers to them.

On a disk: one file, a line a call. An object store has no appending: the lines are kept in a local
file and put up in parts, at once for a call that made something, so that another machine's garbage
collection keeps it; those that found something in the store wait for the next. When the record is
saved, the parts become one.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm.store.backend import Backend
from llm.store.locks import Lock
from llm.store.names import Reference

FOUND = ("cached", "kept")
"""How calls ended that made nothing."""
WAIT_SECONDS, WAIT_LINES = 5.0, 500

Noted = tuple[dict[str, Any], Reference]


class Journal:
    """The calls of runs in a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, run_id: str) -> Path:
        """The local file of a run."""
        return self.folder / f"{run_id}.calls.jsonl"

    def note(self, run_id: str, call: Mapping[str, Any]) -> None:
        """Note a call as it ended. It has a `reference`, as JSON."""
        line = json.dumps(call, ensure_ascii=False) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path(run_id).open("ab") as stream:
            os.write(stream.fileno(), line.encode())  # one write: threads' lines do not mix

    def calls(self, run_id: str) -> list[Noted]:
        """The calls of a run and what they made or took."""
        return [noted for line in self._lines(run_id) if (noted := _parsed(line)) is not None]

    def _lines(self, run_id: str) -> Iterator[bytes]:
        with suppress(FileNotFoundError):
            yield from self.path(run_id).read_bytes().splitlines()

    def saved(self, run_id: str) -> None:
        """A run's record was saved."""

    def settle(self) -> None:
        """Have all that was noted where the records are, and there alone. For while no run goes on."""

    def forget(self, run_id: str) -> None:
        """Delete a run's calls."""
        self.path(run_id).unlink(missing_ok=True)


class SharedJournal(Journal):
    """The same in an object store, below `runs/<id>.calls/`; a local file has them too."""

    def __init__(self, place: Backend, folder: Path) -> None:
        super().__init__(folder)
        self.place = place

    def note(self, run_id: str, call: Mapping[str, Any]) -> None:
        super().note(run_id, call)
        with Lock(self.folder / f"{run_id}.lock").exclusive():
            sent, sent_at = self._sent(run_id)
            with self.path(run_id).open("rb") as stream:
                stream.seek(sent)
                rest = stream.read()
            waits = call.get("action") in FOUND and time.time() - sent_at < WAIT_SECONDS
            if not waits or rest.count(b"\n") >= WAIT_LINES:
                self.place.write(rest, "runs", f"{run_id}.calls", _part(sent))
                self._note_sent(run_id, sent + len(rest))

    def _sent(self, run_id: str) -> tuple[int, float]:
        """How many bytes of the local file are in the store, and since when."""
        try:
            path = self.folder / f"{run_id}.sent"
            return int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return 0, 0.0

    def _note_sent(self, run_id: str, count: int) -> None:
        (self.folder / f"{run_id}.sent").write_text(str(count))

    def _lines(self, run_id: str) -> Iterator[bytes]:
        # What this machine noted and has not put up yet is in its own file.
        seen: set[bytes] = set()
        for name in sorted(self.place.sizes("runs", f"{run_id}.calls")):
            for line in (self.place.read("runs", f"{run_id}.calls", name) or b"").splitlines():
                seen.add(line)
                yield line
        yield from (line for line in super()._lines(run_id) if line not in seen)

    def saved(self, run_id: str) -> None:
        """Make one part of all that are there."""
        if not self.path(run_id).is_file():
            return
        with Lock(self.folder / f"{run_id}.lock").exclusive():
            parts = sorted(self.place.sizes("runs", f"{run_id}.calls"))
            lines = list(dict.fromkeys(self._lines(run_id)))
            count = self.path(run_id).stat().st_size
            if len(parts) != 1 or self._sent(run_id)[0] != count:
                self.place.write(
                    b"".join(line + b"\n" for line in lines),
                    "runs",
                    f"{run_id}.calls",
                    _part(count),
                )
                for name in parts:
                    self.place.remove_file("runs", f"{run_id}.calls", name)
                self._note_sent(run_id, count)

    def settle(self) -> None:
        for path in sorted(self.folder.glob("*.calls.jsonl")):
            run_id = path.name.removesuffix(".calls.jsonl")
            self.saved(run_id)
            self._drop(run_id)

    def _drop(self, run_id: str) -> None:
        for path in self.folder.glob(f"{run_id}.*"):
            path.unlink(missing_ok=True)

    def forget(self, run_id: str) -> None:
        for name in self.place.sizes("runs", f"{run_id}.calls"):
            self.place.remove_file("runs", f"{run_id}.calls", name)
        self._drop(run_id)


def _part(offset: int) -> str:
    return f"{offset:012d}-{uuid.uuid4().hex[:8]}.jsonl"


def _parsed(line: bytes) -> Noted | None:
    with suppress(ValueError, TypeError, KeyError):  # a line that a kill cut short
        call = json.loads(line)
        return call, Reference.from_json(call["reference"])
    return None
