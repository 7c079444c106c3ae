"""Run records, pointers and signs of life: in a local folder, or on the object store of the artifacts."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from llm import durable
from llm.derived import Derived
from llm.runs.bring import bring
from llm.runs.journal import Journal, SharedJournal
from llm.runs.order import Order, SharedOrder
from llm.runs.pointers import FOLDER, Pointers, SharedPointers
from llm.runs.record import VERSION, Head, RunRecord, Unreadable
from llm.runs.shared_signs import SharedSigns
from llm.runs.signs import Signs
from llm.store import Store
from llm.store.backend import Backend
from llm.store.disk import Disk
from llm.store.names import Reference

RECORDS = "runs"


class Runs:
    """Run records, pointers and signs of life.

    Runs are in the order of a counter that every first save raises; a clock may go back.

    folder: of this machine. store: where artifacts are; with one that machines share, records and
    pointers are there too, and a run of any of them keeps all from deleting.
    """

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        self._signs = Signs(folder)
        self._shared: SharedSigns | None = None
        self.place: Backend = Disk(folder)
        self._journal = Journal(folder / RECORDS)
        self._pointers = Pointers(self.place, folder / FOLDER)
        self._order = Order(folder)
        if store is not None and store.leases is not None:
            self.place = store.backend
            self._shared = SharedSigns(store.leases)
            self._journal = SharedJournal(self.place, folder / "journals")
            self._pointers = pointers = SharedPointers(self.place, folder / FOLDER)
            bring(folder, self.place, pointers)
            self._order = SharedOrder(self.place)

    # Records

    def path(self, run_id: str) -> Path:
        """Where a record lies, for people."""
        return Path(self.place.path(RECORDS, f"{run_id}.json"))

    def save(self, record: RunRecord) -> None:
        """Write a record, all or nothing. Its stages stay in the order in which they finished."""
        if not record.order:
            record.order = self._order.next(self._newest_order)
        data = durable.json_bytes(record.to_json(), sort_keys=False)
        self.place.write(data, RECORDS, f"{record.id}.json")
        self._journal.saved(record.id)

    def note(self, run_id: str, call: Mapping[str, Any]) -> None:
        """Note a call as it ended, beside the record. It has a `reference`, as JSON.

        A run that dies in the middle of a stage then still refers to what it made.
        """
        self._journal.note(run_id, call)

    def load(self, run_id: str) -> RunRecord:
        """Read a record and its calls. Raises FileNotFoundError and Unreadable."""
        record = self._parsed(run_id)
        record.calls = [call for call, _ in self._journal.calls(run_id)]
        return record

    def _parsed(self, run_id: str) -> RunRecord:
        path = self.path(run_id)
        return RunRecord.parse(self.raw(path), path)

    def raw(self, path: Path) -> bytes:
        """The bytes of a record's or pointer's file (see `unreadable`). Raises FileNotFoundError."""
        root = Path(self.place.path())
        data = self.place.read(*path.relative_to(root).parts)
        if data is None:
            raise FileNotFoundError(path)
        return data

    def calls_of(self, run_id: str) -> list[Reference]:
        """What the calls of a run made or took, also where its record cannot be read."""
        return [reference for _, reference in self._journal.calls(run_id)]

    def heads(self) -> list[Head]:
        """What listings need of every record, newest first. Those that cannot be read are last.

        A record is read once, and again when it changed.
        """
        heads = [Head(**value) for value in self._heads().of(self._stamps(), self._head).values()]
        return sorted(heads, key=lambda head: (not head.problem, head.place), reverse=True)

    def _stamps(self) -> dict[str, str]:
        return {
            name.removesuffix(".json"): stamp
            for name, stamp in self.place.stamps(RECORDS).items()
            if name.endswith(".json")
        }

    def _heads(self) -> Derived:
        return Derived(self.folder / "run-heads.sqlite", version=VERSION)

    def forget_heads(self) -> None:
        """Have every record read again: SQLite would keep the old words in what it frees."""
        self._heads().forget()

    def _head(self, run_id: str) -> dict[str, Any] | None:
        try:
            head = Head.of(self._parsed(run_id))
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
                    return self._looked_at(head.id)
        return None

    def _looked_at(self, run_id: str) -> RunRecord:
        """A record that is looked at and not changed: of each stage of a run, it is the same."""
        stamp = self.place.stamp(RECORDS, f"{run_id}.json")
        if stamp is None:
            raise FileNotFoundError(self.path(run_id))
        name = (self.place.path(RECORDS, run_id), stamp)
        found = _NEWEST.get(name) if stamp else None
        if found is None:
            found = self._parsed(run_id)
            _NEWEST.clear()
            _NEWEST[name] = found
        calls = [call for call, _ in self._journal.calls(run_id)]
        return dataclasses.replace(found, stages=dict(found.stages), calls=calls)

    def order(self) -> int:
        """The place of the newest run; 0 before the first."""
        return self._order.last(self._newest_order)

    def _newest_order(self) -> int:
        return max((head.order for head in self.heads()), default=0)

    def forget(self, run_id: str) -> None:
        """Delete a record, and what lies beside it."""
        self.place.remove_file(RECORDS, f"{run_id}.json")
        self._journal.forget(run_id)

    def rewrite(self, change: Callable[[str, str], str]) -> list[str]:
        """Change the text of every record and of the calls beside it; returns the files that changed.

        change(name, text): a `.jsonl` has a JSON value in each line. Not for while a run goes on.
        """
        self._journal.settle()
        changed = []
        for name in sorted(self.place.sizes(RECORDS)):
            parts = (RECORDS, *name.split("/"))
            data = None if name.startswith(".") or ".json" not in name else self.place.read(*parts)
            if data is not None:
                text = data.decode("utf8", "surrogateescape")
                after = change(name, text)
                if after != text:
                    self.place.write(after.encode("utf8", "surrogateescape"), *parts)
                    changed.append(self.place.path(*parts))
        self.forget_heads()
        return changed

    # Liveness

    def alive(self, name: str) -> AbstractContextManager[None]:
        """Hold the sign that the run `name` is alive; kill -9 takes it away.

        As long as one is held nothing is deleted from the store; waits while something is. For what
        is of this machine alone; a run that has a record is `running`.
        """
        return self._signs.alive(name)

    def present(self, name: str) -> AbstractContextManager[None]:
        """Hold the sign `name` of something that reads no artifacts (the UI): it may be there for
        weeks, and keeps nobody from deleting.
        """
        return self._signs.present(name)

    @contextmanager
    def running(self, run_id: str) -> Iterator[None]:
        """Hold the sign that a run is alive, for every machine that shares the store."""
        with ExitStack() as stack:
            stack.enter_context(self._signs.alive(run_id))
            if self._shared is not None:
                stack.enter_context(self._shared.alive(run_id))
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it nothing is deleted from the store: for what is looked up before a run begins.

        Waits while something is.
        """
        with ExitStack() as stack:
            stack.enter_context(self._signs.in_use())
            if self._shared is not None:
                stack.enter_context(self._shared.in_use())
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no run is going on and none starts. Raises BadInput while one goes on."""
        with ExitStack() as stack:
            stack.enter_context(self._signs.alone())
            if self._shared is not None:
                stack.enter_context(self._shared.alone())
            yield

    def is_alive(self, name: str) -> bool:
        """Whether a process of this machine holds the sign `name`."""
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
        elsewhere: set[str] | None = None
        for record in self.each(outcome="running"):
            if self.is_alive(record.id):
                continue
            if elsewhere is None:
                elsewhere = set() if self._shared is None else self._shared.living()
            if record.id not in elsewhere:
                record.outcome, record.ended_at = "crashed", time.time()
                record.message = "the process died; run it again to go on"
                self.save(record)
                crashed.append(record)
                if self._shared is not None:
                    self._shared.forget(record.id)
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


# The record that was looked at last, by its file and stamp: of each stage of a run, it is the same.
_NEWEST: dict[tuple[str, str], RunRecord] = {}
