"""Accepting artifacts of older code: after a change that was only a refactoring, they stay in use.

The owner of an expensive artifact says that the code means what it meant. Each call of a stage is
then looked up by its values and inputs, and what older code made of them gets today's key too, with
the old one noted as where it comes from.
"""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llm.fingerprint import digest_values
from llm.recipe import STAGES, Recipe, load_machine, load_recipe
from llm.runs import Outputs, outputs_from_json
from llm.step import BadInput
from llm.store import Artifact, Reference, Store
from llm.store.names import Name
from tasks.engine.home import Home
from tasks.engine.plan import NotYet, PlanRun, stand_ins
from tasks.engine.record import begun, check_stages, newest_snapshot, night_of, take
from tasks.engine.run import Done, Options, Stages
from tasks.engine.sameness import compare, signature
from tasks.engine.step import UNKNOWN, Call
from tasks.engine.verdict import Verdict
from tasks.stages.wiring import WIRING

Outcome = Literal["cached", "accepted", "differs", "not made", "unknown"]
FINE = ("cached", "accepted")
ALL = "all"


@dataclasses.dataclass(frozen=True)
class Accepted:
    """What came of one call.

    cached: today's code has its artifact. accepted: older code's is taken. differs: values or inputs
    are others, `why` says which. not made: no artifact is like it. unknown: an input is not there.
    old: the key that it was found by.
    """

    stage: str
    call: str
    outcome: Outcome
    why: tuple[str, ...] = ()
    old: str = ""
    bytes: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


class OlderCode:
    """The artifacts of a store by step and inputs, whatever code made them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._steps: dict[str, dict[frozenset[tuple[str, ...]], list[tuple[float, Name]]]] = {}

    def like(self, call: Call, first: Mapping[str, Any] | None) -> list[Artifact]:
        """Those of the call's step that read the same, the newest first; `first` before all others."""
        found = [
            item
            for step in (call.step.name, *call.step.formerly)
            for item in self._of(step).get(signature(call.contents), ())
        ]
        names = [name for _, name in sorted(found, reverse=True)]
        preferred = None if first is None else (first["step"], first["key"])
        names.sort(key=lambda name: name != preferred)
        read = (self.store.find(*name) for name in names)
        return [one for one in read if one is not None]

    def _of(self, step: str) -> Mapping[frozenset[tuple[str, ...]], list[tuple[float, Name]]]:
        if step not in self._steps:
            known: dict[frozenset[tuple[str, ...]], list[tuple[float, Name]]] = defaultdict(list)
            for one in self.store.artifacts(step):
                if "contents" in one.manifest:
                    made = one.manifest["made"]["at"]
                    known[signature(one.manifest["contents"])].append((made, one.name))
            self._steps[step] = known
        return self._steps[step]


class AcceptRun(PlanRun):
    """Goes through a stage's calls and accepts what older code made; makes nothing.

    writes: False to tell only.
    """

    older: OlderCode
    writes = False
    notes_calls = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.told: list[Accepted] = []

    def judged(self, call: Call) -> Verdict:
        """As `Run.judged`: "kept" is an artifact of older code that can be accepted."""
        if not call.is_known:
            return Verdict("may run", ("an input is not there",))
        found = self.store.find(call.step.name, call.key)
        if found is not None:
            return Verdict("cached", (), found)
        before = self._made_before(call)
        why: tuple[str, ...] | None = None
        for one in self.older.like(call, before):
            compared = compare(call, one.manifest)
            if compared.is_same:
                code = call.fingerprint.changes(one.manifest["fingerprint"])
                return Verdict("kept", (*compared.told, *code), one)
            why = why or compared.differs
        if before is not None:
            why = compare(call, before).differs or why
        return Verdict("run", why or ())

    def _made_before(self, call: Call) -> Mapping[str, Any] | None:
        """The manifest of the same call in the run before, also if its step was called otherwise."""
        for name in (call.step.name, *call.step.formerly):
            found = self._steps_before.get(f"{name} {call.label}".strip())
            artifact = None if found is None else self.store.read(found.step, found.key)
            if artifact is not None and "contents" in artifact.manifest:
                return artifact.manifest
        return None

    def step(self, call: Call) -> Reference:
        """Accept a call's artifact; the reference is unknown where there is none."""
        verdict = self.judged(call)
        artifact = verdict.artifact
        if artifact is None:
            outcome: Outcome = "differs" if verdict.why else "not made"
            outcome = outcome if call.is_known else "unknown"
            self.told.append(Accepted(self.stage, call.name, outcome, verdict.why))
            return Reference(call.step.name, UNKNOWN, UNKNOWN)
        outcome, old = "cached", ""
        if verdict.action == "kept":
            outcome, old = "accepted", artifact.reference.key
            if self.writes:
                artifact = accepted(self.store, call, artifact)
        seconds = artifact.manifest["seconds"]
        self.told.append(
            Accepted(self.stage, call.name, outcome, verdict.why, old, artifact.bytes, seconds)
        )
        if self.writes:
            manifest = artifact.manifest
            done = Done(
                call.name, call.step.name, outcome, 0.0, manifest["summary"], artifact.reference
            )
            self.ended(done, manifest["counts"])
        return artifact.reference

    def is_whole(self) -> bool:
        """Whether every call of the stage has its artifact."""
        return all(one.outcome in FINE for one in self.told)


def accepted(store: Store, call: Call, artifact: Artifact) -> Artifact:
    """An artifact of older code as today's of a call, with where it comes from."""
    before = artifact.manifest
    origin = {
        "step": before["step"],
        "key": before["key"],
        "base": before["base"],
        "code": digest_values(before["fingerprint"]),
        "at": time.time(),
    }
    manifest = {**before, **call.describe(), "accepted": [*before.get("accepted", []), origin]}
    return store.keep_as(artifact, manifest, call.base)


def accept(
    home: Home,
    recipe: str,
    stages: Sequence[str],
    overrides: Sequence[str] = (),
    snapshot: str | None = None,
    *,
    writes: bool,
) -> list[Accepted]:
    """Accept what older code made of some stages that follow each other. Raises BadInput.

    writes: leave the accepted artifacts in the store, and a run record that has the stages which
    are whole; False: only tell what would be accepted.
    """
    todo = in_order(stages)
    loaded = load_recipe(recipe, overrides, todo)
    if not writes:
        with home.runs.in_use():
            taken = take(home.runs, loaded, STAGES[: STAGES.index(todo[0])])
            outputs = {name: outputs_from_json(one["outputs"]) for name, one in taken.items()}
            night = _snapshot(home, loaded, snapshot, bool(taken))
            return _go_through(home, loaded, todo, night, outputs)
    day = _snapshot(home, loaded, snapshot, False) if todo[0] == STAGES[0] else snapshot
    with begun(home.runs, loaded, todo, day) as run_id:
        record = home.runs.load(run_id)
        outputs = {name: outputs_from_json(one["outputs"]) for name, one in record.stages.items()}
        return _go_through(home, loaded, todo, record.snapshot, outputs, run_id)


def in_order(stages: Sequence[str]) -> tuple[str, ...]:
    """Stages in the order of the pipeline; "all": every one.

    Raises BadInput where one between them is left out.
    """
    if list(stages) == [ALL]:
        return STAGES
    check_stages(stages)
    places = sorted({STAGES.index(name) for name in stages})
    if not places or places[-1] - places[0] + 1 != len(places):
        raise BadInput(f"name stages that follow each other: {', '.join(STAGES)}")
    return tuple(STAGES[place] for place in places)


def _snapshot(home: Home, recipe: Recipe, given: str | None, from_newest: bool) -> str:
    """The snapshot that the artifacts belong to: as given, or the newest crawl's."""
    if given is None and not from_newest:
        given = recipe.snapshot or newest_snapshot(home.runs, recipe)
    return night_of(home.runs, recipe, given, from_newest)


def _go_through(
    home: Home,
    recipe: Recipe,
    todo: Sequence[str],
    snapshot: str,
    outputs: dict[str, Outputs],
    run_id: str | None = None,
) -> list[Accepted]:
    machine = load_machine(home.machine_file, ())
    older = OlderCode(home.store)
    told: list[Accepted] = []
    for stage in todo:
        run = AcceptRun(stage, recipe, snapshot, home.store, home.runs, machine, Options())
        run.older, run.writes, run.run_id = older, run_id is not None, run_id
        outputs[stage] = _outputs(run, outputs)
        told += run.told
        if run_id is not None and run.is_whole():
            record = home.runs.load(run_id)
            record.stages[stage] = run.result(outputs[stage], 0.0)
            home.runs.save(record)
    return told


def _outputs(run: AcceptRun, before: Stages) -> Outputs:
    try:
        return WIRING[run.stage](run, before)
    except NotYet:
        why = ("it depends on what is not there",)
        run.told.append(Accepted(run.stage, "the rest", "unknown", why))
        return stand_ins(run.stage)
