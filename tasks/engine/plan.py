"""A run that only tells what would run, and why."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from llm.runs import Outputs
from llm.store import Reference
from tasks.engine.run import Run
from tasks.engine.step import UNKNOWN, Call
from tasks.engine.verdict import Verdict


class NotYet(Exception):
    """What comes next depends on an artifact that nobody has made yet."""


@dataclasses.dataclass(frozen=True)
class Planned:
    """What a plan says of one call.

    seconds: of its last run, where it ran before. costs: what it will take, where that is told.
    """

    stage: str
    call: str
    action: str
    why: tuple[str, ...]
    seconds: float | None = None
    costs: Mapping[str, Any] | None = None

    @property
    def step(self) -> str:
        """The name of the call's step."""
        return self.call.partition(" ")[0]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


class PlanRun(Run):
    """Asks the store about each call and makes nothing."""

    planned: list[Planned]
    estimate: "Estimate | None" = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.planned = []

    def step(self, call: Call) -> Reference:
        """What would happen to a call; the reference is unknown where it would run."""
        verdict = self.judged(call)
        self.planned.append(self._planned(call, verdict))
        if verdict.artifact is not None:
            return verdict.artifact.reference
        return Reference(call.step.name, UNKNOWN, UNKNOWN)

    def _planned(self, call: Call, verdict: Verdict) -> Planned:
        made = self.previous(call) if verdict.artifact is None else verdict.artifact.manifest
        seconds = None if made is None else made["seconds"]
        costs = None
        if self.estimate is not None and verdict.action not in ("cached", "kept"):
            costs = self.estimate(self, call)
        return Planned(self.stage, call.name, verdict.action, verdict.why, seconds, costs)

    def parts(self, reference: Reference) -> dict[str, Reference]:
        """The parts of an artifact; the plan of this stage ends where it is not there."""
        if reference.key == UNKNOWN:
            raise NotYet
        return super().parts(reference)

    def is_made(self, reference: Reference) -> bool:
        """Whether an artifact is there already."""
        return reference.key != UNKNOWN

    def counts(self, reference: Reference) -> Mapping[str, Any]:
        """The numbers of an artifact; none where it is not there."""
        return {} if reference.key == UNKNOWN else super().counts(reference)

    def move_pointer(
        self, name: str, expected: Mapping[str, Any] | None, new: Mapping[str, Any]
    ) -> bool:
        """As if it had moved: a plan moves nothing."""
        return True


def stand_ins(stage: str) -> Outputs:
    """What stands for a stage's outputs where nobody can tell yet what they are."""
    unknown = Reference(stage, UNKNOWN, UNKNOWN)
    kinds = {"clean": ("documents", "decisions")}
    return {kind: {"all": unknown} for kind in kinds.get(stage, ())}


Estimate = Callable[[PlanRun, Call], Mapping[str, Any] | None]
"""What a call that may run will take; None where nothing is told of its kind."""
