"""Running one stage: as a part of the pipeline, or alone on what the newest run left."""

import datetime
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefect.runtime import flow_run

from flows.environment import HOME
from llm.recipe import STAGES, Recipe, load_machine, load_recipe
from llm.runs import Outputs, RunRecord, outputs_from_json, outputs_to_json
from llm.step import BadInput
from tasks.orchestrate import PrefectRun
from tasks.run import Options, Run, Stages

Wiring = Callable[[Run, Stages], Outputs]
Result = dict[str, Any]
"""What a run record keeps of a stage: its outputs and how each call ended, as plain JSON."""


def resolve_snapshot(recipe: Recipe, snapshot: str | None) -> str:
    """The snapshot of a run: as given, as the recipe says, or the day it was scheduled for."""
    if snapshot or recipe.snapshot:
        return str(snapshot or recipe.snapshot)
    scheduled = flow_run.scheduled_start_time or datetime.datetime.now(datetime.UTC)
    return scheduled.strftime("%Y-%m-%d")


@contextmanager
def recorded(recipe: Recipe, snapshot: str, taken: Mapping[str, Result]) -> Iterator[str]:
    """Keep a run record, whose id this yields: what finished is in it, however the run ends.

    taken: stages that this run does not look at, as the newest run left them.
    """
    runs = HOME.runs
    started = datetime.datetime.now(datetime.UTC)
    record = RunRecord(
        id=f"{started:%Y%m%dT%H%M%S}-{recipe.name}-{uuid.uuid4().hex[:6]}",
        recipe=recipe.name,
        snapshot=snapshot,
        values=recipe.model_dump(mode="json"),
        started_at=time.time(),
        flow_run_id=str(flow_run.id),
        stages=dict(taken),
    )
    outcome, message = "completed", ""
    with runs.alive(record.id):
        runs.save(record)
        try:
            yield record.id
        except BaseException as error:
            outcome = "failed" if isinstance(error, Exception) else "cancelled"
            message = f"{type(error).__name__}: {error}"[:2000]
            raise
        finally:
            record = runs.load(record.id)
            record.outcome, record.message, record.ended_at = outcome, message, time.time()
            runs.save(record)


def take(recipe: Recipe, stages: Sequence[str]) -> dict[str, Result]:
    """What the newest run of a recipe left of some stages, as it is. Raises BadInput."""
    taken = {}
    for stage in stages:
        record = HOME.runs.newest(recipe.name, stage)
        if record is None:
            raise BadInput(f"no run of {recipe.name} has finished the stage {stage}: run it first")
        steps = [{**step, "action": "taken"} for step in record.stages[stage]["steps"]]
        taken[stage] = {**record.stages[stage], "steps": steps, "ran": 0, "seconds": 0.0}
    return taken


def newest_snapshot(recipe: Recipe) -> str | None:
    """The snapshot that the newest finished crawl of a recipe belongs to."""
    record = HOME.runs.newest(recipe.name, "crawl")
    return None if record is None else record.snapshot


def run_stage(
    stage: str,
    wiring: Wiring,
    recipe: str,
    overrides: Sequence[str],
    snapshot: str | None,
    force: bool,
    keep: bool,
    machine: Sequence[str],
    run: str | None,
) -> dict[str, str]:
    """Carry out one stage and write its result into a run record.

    run: the id of the pipeline's record, which has the stages before; None: the stage runs alone,
    on what the newest run of the recipe left, and keeps a record of its own.
    """
    loaded = load_recipe(recipe, overrides)
    options = Options((stage,) if force else (), (stage,) if keep else (), tuple(machine))
    with HOME.runs.alive(f"flow-{flow_run.id}"):
        if run is not None:
            return _carry_out(stage, wiring, loaded, options, run)
        taken = take(loaded, STAGES[: STAGES.index(stage)])
        day = newest_snapshot(loaded) if taken and not snapshot else None
        with recorded(loaded, day or resolve_snapshot(loaded, snapshot), taken) as own:
            return _carry_out(stage, wiring, loaded, options, own)


def _carry_out(
    stage: str, wiring: Wiring, recipe: Recipe, options: Options, run_id: str
) -> dict[str, str]:
    runs = HOME.runs
    record = runs.load(run_id)
    before: Stages = {
        name: outputs_from_json(record.stages[name]["outputs"])
        for name in STAGES[: STAGES.index(stage)]
    }
    machine = load_machine(HOME.machine_file, options.machine)
    run = PrefectRun(stage, recipe, record.snapshot, HOME.store, runs, machine, options)
    started = time.monotonic()
    outputs = wiring(run, before)
    record.stages[stage] = {
        "outputs": outputs_to_json(outputs),
        "steps": [done.to_json() for done in run.done],
        "ran": sum(done.action == "run" for done in run.done),
        "seconds": round(time.monotonic() - started, 2),
    }
    runs.save(record)
    return {"stage": stage, "run": run_id}


def summary_row(stage: str, result: Result) -> dict[str, Any]:
    """One line of the summary: stage, cached or run, seconds, what came out."""
    steps = result["steps"]
    kept = any(step["action"] == "kept" for step in steps)
    state = (
        f"run {result['ran']} of {len(steps)}" if result["ran"] else "kept" if kept else "cached"
    )
    said = [step["summary"] for step in steps if step["summary"]]
    return {
        "stage": stage,
        "state": state,
        "seconds": result["seconds"],
        "out": said[-1] if said else "",
    }
