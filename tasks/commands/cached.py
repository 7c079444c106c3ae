"""A run as far as the store has it: stages of which every call has been done are taken from there.

No Prefect is needed for that, and no server: what the UI is to show of it is kept until one can be
told (`flows.service.tell`).
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm import durable
from llm.recipe import Recipe, load_machine
from llm.step import Reporter
from llm.store import Reference
from tasks.engine.execute import take
from tasks.engine.home import Home
from tasks.engine.run import Done, Options, Run, carry_out_stage
from tasks.engine.step import Call
from tasks.stages.wiring import WIRING


class NotCached(Exception):
    """A call has to be carried out: whoever can do that takes over from this stage on."""


@dataclasses.dataclass
class Told:
    """What the UI shows of a stage besides its calls. Times are Unix seconds."""

    stage: str
    started: float
    ended: float = 0.0
    tables: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)


class CachedRun(Run, Reporter):
    """Takes every call from the store; ends at the first that is not there."""

    notes_calls = False  # nothing is made, and the record has all of a stage when it ends
    told: Told

    def step(self, call: Call) -> Reference:
        """Take a call's artifact from the store. Raises NotCached."""
        verdict = self.judged(call)
        if verdict.action not in ("cached", "kept"):
            raise NotCached(call.name)
        return take(self, call, verdict, self).reference

    def warning(self, message: str) -> None:
        """A line that the user should see."""
        self.told.warnings.append(message)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A table for the run's page."""
        self.told.tables.append(
            {"name": name, "rows": [dict(row) for row in rows], "description": description}
        )


def run_cached(
    home: Home,
    recipe: Recipe,
    run_id: str,
    stages: Sequence[str],
    options: Options,
    show: Callable[[Told, Sequence[Done]], None] = lambda told, done: None,
) -> list[Told]:
    """Carry out the first of some stages, as far as every call of theirs is in the store.

    show: is told each stage as it ends. Returns these stages; the record has them.
    """
    machine = load_machine(home.machine_file, options.machine)
    snapshot = home.runs.load(run_id).snapshot
    told: list[Told] = []
    for stage in stages:
        run = CachedRun(stage, recipe, snapshot, home.store, home.runs, machine, options)
        run.told = Told(stage, time.time())
        try:
            carry_out_stage(run, WIRING[stage], run_id)
        except NotCached:
            break
        run.told.ended = time.time()
        show(run.told, run.done)
        told.append(run.told)
    return told


def keep_untold(
    home: Home, run_id: str, told: Sequence[Told], parameters: Mapping[str, Any]
) -> None:
    """Keep what the UI is to be told of a run until a server is there."""
    value = {
        "parameters": dict(parameters),
        "stages": [dataclasses.asdict(one) for one in told],
    }
    durable.write_json(home.untold / f"{run_id}.json", value, sort_keys=False)


def untold(home: Home, run_id: str) -> tuple[dict[str, Any], list[Told]] | None:
    """The parameters and the stages of a run that no server was told of; None: there is nothing."""
    try:
        value = json.loads((home.untold / f"{run_id}.json").read_text("utf8"))
        return value["parameters"], [Told(**stage) for stage in value["stages"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def forget_untold(home: Home, run_id: str) -> None:
    """A server was told."""
    (home.untold / f"{run_id}.json").unlink(missing_ok=True)
