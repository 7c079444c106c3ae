"""A run record: one run of a recipe, and what listings need of it."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.step import BadInput
from llm.store.names import Name, Reference

VERSION = 1

Outputs = dict[str, dict[str, Reference]]
"""What a stage put out: kind ("documents") → label ("docs-00000") → artifact."""

_NAMED = {"step", "key", "content"}
_KEY = re.compile(rb'"key"\s*:\s*"([^"\\]+)"')


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


class Unreadable(BadInput):
    """A run record that is damaged, or that a newer version wrote."""


@dataclasses.dataclass
class RunRecord:
    """One run of a recipe. `stages` is filled in as they finish; a lock tells that it is alive.

    order: its place among all runs of this home, from a counter: clocks may go back. 0: not yet saved.
    calls: how each call ended, as it ended, of stages that did not finish too (`Runs.note`).
    """

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
    order: int = 0
    version: int = VERSION
    calls: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read a record. Raises FileNotFoundError, and Unreadable, which names the file."""
        return cls.parse(path.read_bytes(), path)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> "RunRecord":
        """A record from the bytes of its file. Raises Unreadable."""
        try:
            found = json.loads(data)
        except ValueError as error:
            raise Unreadable(f"the run record {path} is damaged ({error})") from None
        version = found.get("version", VERSION) if isinstance(found, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise Unreadable(f"the run record {path} was written by a newer version of Penstock")
        try:
            record = cls(**found)
            record._check()
        except (TypeError, KeyError, AttributeError) as error:
            raise Unreadable(f"the run record {path} is damaged ({error})") from None
        return record

    def _check(self) -> None:
        """Raise TypeError where something is of another kind than code relies on."""
        kinds: dict[str, Any] = {
            "id": str,
            "recipe": str,
            "snapshot": str,
            "values": dict,
            "started_at": int | float,
            "outcome": str,
            "message": str,
            "stages": dict,
            "order": int,
        }
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} is {getattr(self, name)!r}")
        for one in self._references():
            if not _NAMED <= one.keys() <= _NAMED | {"part"}:
                raise KeyError(f"a reference has {sorted(one)}")

    def outputs(self, stage: str) -> Outputs | None:
        """What a stage put out in this run; None where it did not finish."""
        found = self.stages.get(stage)
        return None if found is None else outputs_from_json(found["outputs"])

    def references(self) -> Iterator[Reference]:
        """Every artifact that this run made or took, in any stage, and those of earlier nights."""
        yield from map(Reference.from_json, self._references())

    def _references(self) -> Iterator[Mapping[str, Any]]:
        for stage in self.stages.values():
            for outputs in stage["outputs"].values():
                yield from outputs.values()
            for step in stage["steps"]:
                yield step["reference"]
        for call in self.calls:
            yield call["reference"]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the calls, which lie in a file of their own."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "calls"
        }


@dataclasses.dataclass(frozen=True)
class Head:
    """What listings need of a run record, without its stages' outputs.

    stages: how many calls ran, by stage that finished. finished: those stages that the run went
    through itself. problem: why the record cannot be read; the other fields say nothing then.
    """

    id: str
    recipe: str = ""
    snapshot: str = ""
    order: int = 0
    started_at: float = 0.0
    ended_at: float | None = None
    outcome: str = "unreadable"
    message: str = ""
    stages: Mapping[str, int] = dataclasses.field(default_factory=dict)
    finished: Sequence[str] = ()
    keep_runs: int | None = None
    problem: str = ""

    @property
    def place(self) -> tuple[int, float, str]:
        """By what runs are sorted: the counter; the clock only for records from before it."""
        return self.order, self.started_at, self.id

    @classmethod
    def of(cls, record: RunRecord) -> "Head":
        """The head of a record."""
        policy = record.values.get("policy")
        keep = policy.get("keep_runs") if isinstance(policy, dict) else None
        return cls(
            record.id,
            record.recipe,
            record.snapshot,
            record.order,
            record.started_at,
            record.ended_at,
            record.outcome,
            record.message,
            {name: stage.get("ran", 0) for name, stage in record.stages.items()},
            [name for name, stage in record.stages.items() if not _is_taken(stage)],
            keep if isinstance(keep, int) and keep > 0 else None,
        )


def _is_taken(stage: Mapping[str, Any]) -> bool:
    """Whether a run took a stage as an earlier one had left it."""
    return any(step.get("action") == "taken" for step in stage["steps"])


def keys_in(data: bytes) -> set[str] | None:
    """The keys of artifacts that a JSON file names, whatever else is in it.

    None where a part of the file is lost, so that nobody can tell.
    """
    try:
        json.loads(data)
    except ValueError:
        return None
    return {match.decode("utf8", "replace") for match in _KEY.findall(data)}


def names_of(references: Iterator[Reference]) -> set[Name]:
    """Step and key of each reference."""
    return {(one.step, one.key) for one in references}
