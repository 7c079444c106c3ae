"""Run records being kept, and what newer runs take from them."""

import datetime
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from llm.recipe import STAGES, Recipe
from llm.runs import RunRecord, Runs
from llm.step import BadInput
from tasks.engine.notify import tell_failure

SNAPSHOT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")

Result = dict[str, Any]
"""What a run record keeps of a stage: its outputs and how each call ended, as plain JSON."""


@contextmanager
def recorded(
    runs: Runs,
    recipe: Recipe,
    snapshot: str,
    taken: Mapping[str, Result],
    flow_run_id: str | None = None,
) -> Iterator[str]:
    """Keep a run record, whose id this yields: what finished is in it, however the run ends.

    Input that is found to be wrong before anything was done leaves no record, unless Prefect has a
    run that names it.

    taken: stages that this run does not look at, as the newest run left them.
    """
    started = datetime.datetime.now(datetime.UTC)
    record = RunRecord(
        id=f"{started:%Y%m%dT%H%M%S}-{recipe.name}-{uuid.uuid4().hex[:6]}",
        recipe=recipe.name,
        snapshot=snapshot,
        values=recipe.model_dump(mode="json"),
        started_at=time.time(),
        flow_run_id=flow_run_id,
        stages=dict(taken),
    )
    outcome, message, wrong = "completed", "", False
    with runs.running(record.id):
        runs.save(record)
        try:
            yield record.id
        except BaseException as error:
            wrong = isinstance(error, BadInput)
            outcome = "failed" if isinstance(error, Exception) else "cancelled"
            message = f"{type(error).__name__}: {error}".removesuffix(": ")[:2000]
            raise
        finally:
            record = runs.load(record.id)
            record.outcome, record.message, record.ended_at = outcome, message, time.time()
            is_untouched = record.flow_run_id is None and record.stages.keys() == taken.keys()
            if wrong and is_untouched and not record.calls:
                runs.forget(record.id)
            else:
                runs.save(record)
            tell_failure(runs.folder, record)


@contextmanager
def begun(
    runs: Runs,
    recipe: Recipe,
    todo: Sequence[str],
    snapshot: str | None,
    flow_run_id: str | None = None,
    scheduled: datetime.datetime | None = None,
) -> Iterator[str]:
    """Keep the record of a run of some stages, on what the newest run left of those before them.

    Nothing is deleted from the store between the look for what is left and the end of the run.
    snapshot, scheduled: see `night_of`. Yields the record's id. Raises BadInput.
    """
    with runs.in_use():
        taken = take(runs, recipe, STAGES[: STAGES.index(todo[0])])
        day = night_of(runs, recipe, snapshot, bool(taken), scheduled)
        with recorded(runs, recipe, day, taken, flow_run_id) as run_id:
            yield run_id


def recipe_of(record: RunRecord) -> Recipe:
    """The recipe of a run as it was when the run began: editing the file meanwhile changes nothing."""
    return Recipe.model_validate(record.values)


def take(runs: Runs, recipe: Recipe, stages: Sequence[str]) -> dict[str, Result]:
    """What the newest run of a recipe left of some stages, as it is. Raises BadInput."""
    taken = {}
    for stage in stages:
        record = runs.newest(recipe.name, stage)
        if record is None:
            raise BadInput(f"no run of {recipe.name} has finished the stage {stage}: run it first")
        steps = [{**step, "action": "taken"} for step in record.stages[stage]["steps"]]
        taken[stage] = {**record.stages[stage], "steps": steps, "ran": 0, "seconds": 0.0}
    return taken


def newest_snapshot(runs: Runs, recipe: Recipe) -> str | None:
    """The snapshot that the newest finished crawl of a recipe belongs to."""
    record = runs.newest(recipe.name, "crawl")
    return None if record is None else record.snapshot


def night_of(
    runs: Runs,
    recipe: Recipe,
    snapshot: str | None,
    from_newest: bool,
    scheduled: datetime.datetime | None = None,
) -> str:
    """The snapshot that a run belongs to: as given, of the newest run that it goes on from, or today's.

    Raises BadInput for a name that is none, and where the stages that are taken belong to another.
    """
    before = newest_snapshot(runs, recipe) if from_newest else None
    if snapshot is not None and not SNAPSHOT.fullmatch(snapshot):
        raise BadInput(
            f"--snapshot {snapshot!r}: use letters, digits, dots, dashes and underscores"
        )
    if snapshot is not None and before is not None and snapshot != before:
        raise BadInput(
            f"the newest crawl of {recipe.name} belongs to the snapshot {before}, not to {snapshot}: "
            "leave --snapshot out, or run from the crawl"
        )
    return snapshot or before or day_of(recipe, scheduled)


def day_of(recipe: Recipe, scheduled: datetime.datetime | None = None) -> str:
    """The snapshot of a run: as the recipe says, or the day that it is scheduled for (UTC)."""
    when = scheduled or datetime.datetime.now(datetime.UTC)
    return recipe.snapshot or f"{when:%Y-%m-%d}"


def select(from_stage: str | None, until: str | None, only: str | None) -> tuple[str, ...]:
    """Which stages a run covers, in order. Raises BadInput."""
    if only is not None and (from_stage or until):
        raise BadInput("--only cannot be combined with --from or --until")
    check_stages([name for name in (from_stage, until, only) if name is not None])
    first = STAGES.index(only or from_stage or STAGES[0])
    last = STAGES.index(only or until or STAGES[-1])
    if first > last:
        raise BadInput(f"--from {from_stage} comes after --until {until}")
    return STAGES[first : last + 1]


def check_stages(names: Sequence[str]) -> None:
    """Raise BadInput for a name that is not a stage's."""
    for name in names:
        if name not in STAGES:
            raise BadInput(f"no stage {name!r}; the stages are {', '.join(STAGES)}")
