"""What was run, and what is in use: run records and pointers, the roots of garbage collection."""

import dataclasses
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llm import durable
from llm.store import Artifact, Reference, Store, folder_bytes

# Steps whose artifacts may be made anew, long after, from what they were made of.
REWRITTEN = ("write", "decide")

Outputs = dict[str, dict[str, Reference]]
"""What a stage put out: kind ("documents") → label ("docs-00000") → artifact."""


def outputs_to_json(outputs: Outputs) -> dict[str, dict[str, dict[str, Any]]]:
    """Outputs as plain JSON."""
    return {
        kind: {label: ref.to_json() for label, ref in items.items()}
        for kind, items in outputs.items()
    }


def outputs_from_json(value: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Outputs:
    """The inverse of `outputs_to_json`."""
    return {
        kind: {label: Reference.from_json(ref) for label, ref in items.items()}
        for kind, items in value.items()
    }


@dataclasses.dataclass
class RunRecord:
    """One run of a recipe. `stages` is filled in as they finish; a lock tells that it is alive."""

    id: str
    recipe: str
    snapshot: str
    values: dict[str, Any]
    started_at: float
    flow_run_id: str | None = None
    ended_at: float | None = None
    outcome: str = "running"
    message: str = ""
    stages: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def outputs(self, stage: str) -> Outputs | None:
        """What a stage put out in this run; None where it did not finish."""
        found = self.stages.get(stage)
        return None if found is None else outputs_from_json(found["outputs"])

    def references(self) -> Iterator[Reference]:
        """Every artifact that this run made or took, in any stage, and those of earlier nights."""
        for stage in self.stages.values():
            for outputs in outputs_from_json(stage["outputs"]).values():
                yield from outputs.values()
            for step in stage["steps"]:
                yield Reference.from_json(step["reference"])


class Runs:
    """Run records and pointers beside a store, in a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, record: RunRecord) -> None:
        """Write a record, all or nothing. Its stages stay in the order in which they finished."""
        path = self.folder / "runs" / f"{record.id}.json"
        durable.write_json(path, dataclasses.asdict(record), sort_keys=False)

    def load(self, run_id: str) -> RunRecord:
        """Read a record. Raises FileNotFoundError."""
        return RunRecord(**json.loads((self.folder / "runs" / f"{run_id}.json").read_text("utf8")))

    def all(self) -> list[RunRecord]:
        """Every record, newest first."""
        found = [self.load(path.stem) for path in (self.folder / "runs").glob("*.json")]
        return sorted(found, key=lambda record: record.started_at, reverse=True)

    def newest(self, recipe: str, stage: str) -> RunRecord | None:
        """The newest run of a recipe in which `stage` finished."""
        return next(
            (run for run in self.all() if run.recipe == recipe and stage in run.stages), None
        )

    def night_before(self, recipe: str, snapshot: str, stage: str) -> RunRecord | None:
        """The newest run of the latest snapshot before `snapshot` in which `stage` finished.

        Snapshots are in the order of their names, which dates are.
        """
        earlier = [
            run
            for run in self.all()
            if run.recipe == recipe and run.snapshot < snapshot and stage in run.stages
        ]
        return max(earlier, key=lambda run: (run.snapshot, run.started_at), default=None)

    # Liveness: the operating system frees the lock of a process that died, however it died.

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Hold the sign that the run `name` is alive; kill -9 takes it away."""
        path = self.folder / "alive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    def is_alive(self, name: str) -> bool:
        """Whether a process holds the sign of the run `name`."""
        try:
            handle = os.open(self.folder / "alive" / name, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def left_signs(self) -> list[str]:
        """Names of runs whose process died without saying so."""
        folder = self.folder / "alive"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [name for name in names if not self.is_alive(name)]

    def close_crashed(self) -> list[RunRecord]:
        """Mark the records of runs whose process died as crashed; returns them."""
        crashed = []
        for record in self.all():
            if record.outcome == "running" and not self.is_alive(record.id):
                record.outcome, record.ended_at = "crashed", time.time()
                record.message = "the process died; run it again to go on"
                self.save(record)
                crashed.append(record)
        return crashed

    def forget_sign(self, name: str) -> None:
        """Drop the sign of a run that died, once it has been told everywhere."""
        (self.folder / "alive" / name).unlink(missing_ok=True)

    # Pointers

    def pointer(self, name: str) -> dict[str, Any] | None:
        """What a pointer names now; None where it was never set."""
        path = self.folder / "pointers" / f"{name}.json"
        try:
            return json.loads(path.read_text("utf8"))["now"]
        except FileNotFoundError:
            return None

    def move_pointer(
        self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]
    ) -> bool:
        """Compare and swap: moves only if the pointer still names `expected`. Keeps its history."""
        folder = self.folder / "pointers"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self.pointer(name)
            if now != expected:
                return False
            path = folder / f"{name}.json"
            history = json.loads(path.read_text("utf8"))["history"] if now is not None else []
            entry = {**new, "moved_at": time.time()}
            durable.write_json(path, {"now": dict(new), "history": [*history, entry]})
            return True

    def pointers(self) -> dict[str, Any]:
        """Every pointer's value."""
        folder = self.folder / "pointers"
        return {path.stem: self.pointer(path.stem) for path in sorted(folder.glob("*.json"))}


@dataclasses.dataclass(frozen=True)
class Garbage:
    """What nothing refers to any more."""

    artifacts: Sequence[Artifact]
    folders: Sequence[Path]
    records: Sequence[RunRecord]

    @property
    def bytes(self) -> int:
        """How much space removing it frees."""
        return sum(artifact.bytes for artifact in self.artifacts) + sum(
            folder_bytes(folder) for folder in self.folders
        )


def find_garbage(store: Store, runs: Runs, keep_runs: int | None = None) -> Garbage:
    """What no kept run and no pointer refers to, damaged artifacts, and abandoned work folders.

    Kept: the newest `keep_runs` completed runs of each recipe, those since, and running ones; None:
    as many as the recipe's newest run says (`policy.keep_runs`).
    """
    kept: set[tuple[str, str]] = set()
    old: list[RunRecord] = []
    count: dict[str, int] = {}
    limits: dict[str, int] = {}
    for record in runs.all():
        finished = record.outcome == "completed"
        if record.recipe not in limits:
            limits[record.recipe] = keep_runs or record.values["policy"]["keep_runs"]
        enough = count.get(record.recipe, 0) >= limits[record.recipe]
        if enough and record.outcome != "running":
            old.append(record)
            continue
        count[record.recipe] = count.get(record.recipe, 0) + finished
        for reference in record.references():
            kept |= {(reference.step, reference.key), *_needed(store, reference)}
    for value in runs.pointers().values():
        kept |= {(ref["step"], ref["key"]) for ref in (value or {}).get("references", [])}
    artifacts = [
        artifact
        for artifact in store.artifacts()
        if (artifact.reference.step, artifact.reference.key) not in kept
    ]
    busy = any(runs.is_alive(record.id) for record in runs.all())
    folders = [] if busy else [*_children(store.scratch / "aside"), *_finished_work(store)]
    return Garbage([] if busy else artifacts, folders, old)


def _needed(store: Store, reference: Reference) -> Iterator[tuple[str, str]]:
    """What an erasure needs to write an earlier night's shard anew."""
    if reference.step not in REWRITTEN:
        return
    artifact = store.read(reference.step, reference.key)
    for items in {} if artifact is None else artifact.manifest["inputs"].values():
        yield from ((item["step"], item["key"]) for item in items if "key" in item)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _finished_work(store: Store) -> list[Path]:
    """Work folders of a key that has its artifact, and those untouched for a week."""
    week = 7 * 24 * 3600
    return [
        path
        for path in sorted((store.scratch / "work").glob("*/*"))
        if store.read(path.parent.name, path.name) is not None
        or time.time() - _touched(path) > week
    ]


def _touched(folder: Path) -> float:
    """When anything in a folder last changed (Unix seconds)."""
    times = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


def collect(store: Store, runs: Runs, garbage: Garbage) -> None:
    """Remove what `find_garbage` found."""
    for artifact in garbage.artifacts:
        store.remove(artifact)
    for folder in garbage.folders:
        shutil.rmtree(folder)
    for record in garbage.records:
        with suppress(FileNotFoundError):
            (runs.folder / "runs" / f"{record.id}.json").unlink()
