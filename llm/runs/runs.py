"""Run records and pointers beside a store, in a local folder."""

import dataclasses
import functools
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from llm import durable
from llm.derived import Derived
from llm.runs.pointers import Pointers
from llm.runs.record import VERSION, Head, RunRecord, Unreadable
from llm.runs.signs import Signs
from llm.store.locks import Lock
from llm.store.names import Reference


class Runs:
    """Run records, pointers and signs of life in a folder.

    Runs are in the order of a counter that every first save raises; a clock may go back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / "runs"
        self._signs = Signs(folder)
        self._pointers = Pointers(folder)

    # Records

    def path(self, run_id: str) -> Path:
        """The file of a record."""
        return self._records / f"{run_id}.json"

    def save(self, record: RunRecord) -> None:
        """Write a record, all or nothing. Its stages stay in the order in which they finished."""
        if not record.order:
            record.order = self._next()
        durable.write_json(self.path(record.id), record.to_json(), sort_keys=False)

    def note(self, run_id: str, call: Mapping[str, Any]) -> None:
        """Note a call as it ended, beside the record. It has a `reference`, as JSON.

        A run that dies in the middle of a stage then still refers to what it made.
        """
        line = json.dumps(call, ensure_ascii=False) + "\n"
        self._records.mkdir(parents=True, exist_ok=True)
        with self._journal(run_id).open("ab") as stream:
            os.write(stream.fileno(), line.encode())  # one write: threads' lines do not mix

    def _journal(self, run_id: str) -> Path:
        return self._records / f"{run_id}.calls.jsonl"

    def load(self, run_id: str) -> RunRecord:
        """Read a record and its calls. Raises FileNotFoundError and Unreadable."""
        record = RunRecord.read(self.path(run_id))
        record.calls = [call for call, _ in self._calls(run_id)]
        return record

    def calls_of(self, run_id: str) -> list[Reference]:
        """What the calls of a run made or took, also where its record cannot be read."""
        return [reference for _, reference in self._calls(run_id)]

    def _calls(self, run_id: str) -> list[tuple[dict[str, Any], Reference]]:
        try:
            lines = self._journal(run_id).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):  # a line that a kill cut short
                call = json.loads(line)
                found.append((call, Reference.from_json(call["reference"])))
        return found

    def files_of(self, run_id: str) -> list[Path]:
        """A record's file, and what lies beside it."""
        return sorted(self._records.glob(f"{run_id}.*"))

    def heads(self) -> list[Head]:
        """What listings need of every record, newest first. Those that cannot be read are last.

        A record is read once, and again when it changed.
        """
        stamps = {}
        if self._records.is_dir():
            with os.scandir(self._records) as entries:
                for entry in entries:
                    if entry.name.endswith(".json") and not entry.name.startswith("."):
                        with suppress(FileNotFoundError):
                            stamps[entry.name[:-5]] = durable.stamp(entry.stat())
        heads = [Head(**value) for value in self._heads().of(stamps, self._head).values()]
        return sorted(heads, key=lambda head: (not head.problem, head.place), reverse=True)

    def _heads(self) -> Derived:
        return Derived(self.folder / "run-heads.sqlite", version=VERSION)

    def forget_heads(self) -> None:
        """Have every record read again: SQLite would keep the old words in what it frees."""
        self._heads().forget()

    def _head(self, run_id: str) -> dict[str, Any] | None:
        try:
            head = Head.of(self.load(run_id))
        except FileNotFoundError:
            return None
        except Unreadable as error:
            head = Head(run_id, problem=str(error))
        return dataclasses.asdict(head)

    def all(self) -> list[RunRecord]:
        """Every record that can be read, newest first. Reads all of them: `heads` does not."""
        return list(self.each())

    def each(self, **wanted: str) -> Iterator[RunRecord]:
        """The records whose heads have these values, newest first, each read when it is asked for."""
        for head in self.heads():
            if head.problem or any(getattr(head, name) != value for name, value in wanted.items()):
                continue
            with suppress(FileNotFoundError, Unreadable):
                yield self.load(head.id)

    def unreadable(self) -> dict[Path, str]:
        """Records and pointers that cannot be read, and why: passed over, kept by gc."""
        records = {self.path(head.id): head.problem for head in self.heads() if head.problem}
        return {**records, **self._pointers.damaged()}

    def newest(self, recipe: str, stage: str) -> RunRecord | None:
        """The newest run of a recipe in which `stage` finished."""
        return self._first(
            head for head in self.heads() if head.recipe == recipe and stage in head.stages
        )

    def night_before(self, recipe: str, snapshot: str, stage: str) -> RunRecord | None:
        """The newest run of the latest snapshot before `snapshot` in which `stage` finished.

        Snapshots are in the order of their names, which dates are.
        """
        earlier = [
            head
            for head in self.heads()
            if head.recipe == recipe and head.snapshot < snapshot and stage in head.stages
        ]
        # Sorting keeps the newest first among those of one snapshot.
        return self._first(iter(sorted(earlier, key=lambda head: head.snapshot, reverse=True)))

    def _first(self, heads: Iterator[Head]) -> RunRecord | None:
        for head in heads:
            if not head.problem:
                with suppress(FileNotFoundError, Unreadable):
                    return self._shared(head.id)
        return None

    def _shared(self, run_id: str) -> RunRecord:
        """A record that is looked at and not changed: of each stage of a run, it is the same."""
        path = self.path(run_id)
        found = _read(path, durable.stamp(path.stat()))
        calls = [call for call, _ in self._calls(run_id)]
        return dataclasses.replace(found, stages=dict(found.stages), calls=calls)

    def order(self) -> int:
        """The place of the newest run; 0 before the first."""
        try:
            return int((self.folder / "run-count").read_text())
        except (OSError, ValueError):
            return max((head.order for head in self.heads()), default=0)

    def _next(self) -> int:
        with Lock(self.folder / "run-count.lock").exclusive():
            place = self.order() + 1
            durable.write_bytes(self.folder / "run-count", str(place).encode())
            return place

    def forget(self, run_id: str) -> None:
        """Delete a record, and what lies beside it."""
        for path in self.files_of(run_id):
            path.unlink(missing_ok=True)

    # Liveness

    def alive(self, name: str) -> AbstractContextManager[None]:
        """Hold the sign that the run `name` is alive; kill -9 takes it away.

        As long as one is held nothing is deleted from the store; waits while something is.
        """
        return self._signs.alive(name)

    def in_use(self) -> AbstractContextManager[None]:
        """Within it nothing is deleted from the store: for what is looked up before a run begins.

        Waits while something is.
        """
        return self._signs.in_use()

    def alone(self) -> AbstractContextManager[None]:
        """Within it no run is going on and none starts. Raises BadInput while one goes on."""
        return self._signs.alone()

    def is_alive(self, name: str) -> bool:
        """Whether a process holds the sign of the run `name`."""
        return self._signs.is_alive(name)

    def signal(self, name: str, number: int) -> bool:
        """Send a signal to the process that holds the sign of the run `name`; whether there is one."""
        return self._signs.signal(name, number)

    def left_signs(self) -> list[str]:
        """Names of runs whose process died without saying so."""
        return self._signs.left()

    def forget_sign(self, name: str) -> None:
        """Drop the sign of a run that died, once it has been told everywhere."""
        self._signs.forget(name)

    def close_crashed(self) -> list[RunRecord]:
        """Mark the records of runs whose process died as crashed; returns them."""
        crashed = []
        for record in self.each(outcome="running"):
            if not self.is_alive(record.id):
                record.outcome, record.ended_at = "crashed", time.time()
                record.message = "the process died; run it again to go on"
                self.save(record)
                crashed.append(record)
        return crashed

    # Pointers

    def pointer(self, name: str) -> dict[str, Any] | None:
        """What a pointer names now; None where it was never set. Raises BadInput."""
        return self._pointers.get(name)

    def move_pointer(
        self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]
    ) -> bool:
        """Compare and swap: moves only if the pointer still names `expected`. Keeps its history."""
        return self._pointers.move(name, expected, new)

    def pointers(self) -> dict[str, Any]:
        """Every pointer's value; damaged ones are left out."""
        return self._pointers.all()


@functools.lru_cache(maxsize=1)
def _read(path: Path, stamp: str) -> RunRecord:
    """A record as its file is with this stamp."""
    return RunRecord.read(path)
