"""A stage being run or planned: the one interface through which the stages' wiring works.

The wiring of a stage (`tasks/stages/clean.py` and so on) says which steps there are and what feeds them.
Who carries a call out is up to the `Run`: Prefect tasks (`tasks/engine/orchestrate.py`), or nobody, in a
plan (`tasks/engine/plan.py`).
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.machine import Machine
from llm.recipe import Recipe
from llm.runs import Outputs, Runs, outputs_from_json, outputs_to_json
from llm.store import Reference, Store
from tasks.engine.step import Call, look_at_code_again
from tasks.engine.verdict import Verdict, judge


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is steered.

    force: stages that run although their artifacts are there.
    keep: stages that keep artifacts of older code.
    machine: overrides of the machine file.
    """

    force: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()


@dataclasses.dataclass
class Done:
    """One call of a stage, as it ended."""

    name: str
    step: str
    action: str
    seconds: float
    summary: str
    reference: Reference

    @property
    def line(self) -> str:
        """The call in one line, for people."""
        took = f"{self.seconds:6.1f} s" if self.action == "run" else f"{self.action:>8}"
        return f"  {self.name:<28} {took}  {self.summary}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for the run record."""
        return {**dataclasses.asdict(self), "reference": self.reference.to_json()}


class Run:
    """What a stage's wiring is given."""

    notes_calls = True

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        snapshot: str,
        store: Store,
        runs: Runs,
        machine: Machine,
        options: Options,
        run_id: str | None = None,
    ) -> None:
        self.stage, self.recipe, self.snapshot = stage, recipe, snapshot
        self.store, self.runs, self.options = store, runs, options
        takedown = _taken_down(runs.folder / "takedown.json")
        folder = machine.sinks_folder or str(runs.folder / "sinks")
        self.machine = dataclasses.replace(machine, takedown=takedown, sinks_folder=folder)
        self.done: list[Done] = []
        self._counts: dict[tuple[str, str], Mapping[str, Any]] = {}  # by step and name of the call
        self.run_id = run_id
        self.noting = threading.Lock()
        look_at_code_again()
        self.force_with = (
            f"penstock run --force {stage}"  # what the user types to have the stage forced
        )
        self.before = runs.newest(recipe.name, stage)
        self.night_before = runs.night_before(recipe.name, snapshot, stage)

    def step(self, call: Call) -> Reference:
        """Carry out one call, or find its artifact."""
        raise AssertionError("a Run carries calls out in its own way")

    def judged(self, call: Call) -> Verdict:
        """What is to be done about a call of this run."""
        return judge(
            self.store,
            call,
            self.recipe.policy,
            forced=self.stage in self.options.force,
            kept=self.stage in self.options.keep,
            previous=lambda: self.previous(call),
        )

    def map(self, calls: Sequence[Call]) -> list[Reference]:
        """Carry out calls that do not depend on each other; results in the same order."""
        return [self.step(call) for call in calls]

    def ended(self, done: Done, counts: Mapping[str, Any]) -> None:
        """Note how a call ended: in the run's record when the stage ends, and at once in its journal."""
        with self.noting:
            self.done.append(done)
            self._counts[done.step, done.name] = counts
        if self.notes_calls and self.run_id is not None:
            self.runs.note(self.run_id, {"stage": self.stage, **done.to_json()})

    def totals(self) -> dict[str, dict[str, Any]]:
        """The counts of all calls of each step together. A call that came twice counts as it was last."""
        found: dict[str, dict[str, Any]] = {}
        for (step, _), counts in self._counts.items():
            found[step] = added(found.get(step, {}), counts)
        return found

    def result(self, outputs: Outputs, seconds: float) -> dict[str, Any]:
        """What the run record keeps of the stage, as plain JSON."""
        return {
            "outputs": outputs_to_json(outputs),
            "steps": [done.to_json() for done in self.done],
            "counts": self.totals(),
            "ran": sum(done.action == "run" for done in self.done),
            "seconds": seconds,
        }

    def take(self, name: str, reference: Reference, summary: str) -> None:
        """Note that an artifact is taken as it is, without asking for it again."""
        done = Done(name, reference.step, "cached", 0.0, summary, reference)
        self.ended(done, self.counts(reference))

    def parts(self, reference: Reference) -> dict[str, Reference]:
        """The parts of an artifact, each of which a later step may read alone."""
        artifact = self.store.read(reference.step, reference.key)
        if artifact is None:
            raise FileNotFoundError(
                f"the artifact {reference.step}/{reference.key} is gone: run again"
            )
        return artifact.parts

    def is_made(self, reference: Reference) -> bool:
        """Whether an artifact is there, so that its files can be looked at."""
        return True

    def counts(self, reference: Reference) -> Mapping[str, Any]:
        """The numbers in an artifact's manifest."""
        artifact = self.store.read(reference.step, reference.key)
        return {} if artifact is None else artifact.manifest["counts"]

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """Show a table on the run's page."""

    def move_pointer(
        self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]
    ) -> bool:
        """Move a pointer, if it still names `expected`."""
        return self.runs.move_pointer(name, expected, new)

    def previous(self, call: Call) -> Mapping[str, Any] | None:
        """The manifest of the same call in the run before, to tell what changed."""
        reference = self._steps_before.get(call.name)
        artifact = None if reference is None else self.store.read(reference.step, reference.key)
        return None if artifact is None else artifact.manifest

    @functools.cached_property
    def _steps_before(self) -> dict[str, Reference]:
        """The artifact of each call of this stage in the run before, by the call's name."""
        steps = [] if self.before is None else self.before.stages[self.stage]["steps"]
        return {item["name"]: Reference.from_json(item["reference"]) for item in reversed(steps)}


def _taken_down(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    from llm.corpus.erasure.takedown import Takedowns, exclusions

    return exclusions(Takedowns.load(path))


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of several calls together: numbers add up, also within mappings; the rest is the last's."""
    total = dict(one)
    for name, value in other.items():
        before = total.get(name)
        if isinstance(value, Mapping):
            total[name] = added(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            total[name] = value
        else:
            total[name] = value + before if isinstance(before, int | float) else value
    return total


Stages = Mapping[str, Outputs]
"""What the stages before put out, by stage."""

Wiring = Callable[[Run, Stages], Outputs]
"""Which steps a stage has and what feeds them."""


def carry_out_stage(run: Run, wiring: Wiring, run_id: str) -> None:
    """Run a stage's wiring on what the run record has of the stages before, and record it."""
    run.run_id = run_id
    record = run.runs.load(run_id)
    before = {name: outputs_from_json(stage["outputs"]) for name, stage in record.stages.items()}
    started = time.monotonic()
    outputs = wiring(run, before)
    record.stages[run.stage] = run.result(outputs, round(time.monotonic() - started, 2))
    run.runs.save(record)
