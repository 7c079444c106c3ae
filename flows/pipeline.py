"""The whole pipeline: each stage in turn, as far as its store does not have the answer already."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import httpx
from prefect import flow
from prefect.client.schemas.objects import State, StateDetails
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.utilities.engine import link_state_to_task_run_result

from flows.environment import HOME
from flows.parameters import Stage, Stages, Text, Texts, recipe_of_run
from flows.service.tell import connected, tell_stages
from flows.stages import FLOWS
from flows.summary import stage_row
from llm.recipe import load_machine
from tasks.commands.cached import Told, forget_untold, run_cached, untold
from tasks.engine import ready
from tasks.engine.notify import refusal_told
from tasks.engine.orchestrate import put_table
from tasks.engine.record import begun, check_stages, recipe_of, select
from tasks.engine.run import Options

_BEGUN: ContextVar[str | None] = ContextVar("begun", default=None)


@flow(name="pipeline", flow_run_name="{recipe}")
def pipeline(
    recipe: str = "demo",
    overrides: Texts = None,
    snapshot: Text = None,
    from_stage: Stage = None,
    until: Stage = None,
    only: Stage = None,
    force: Stages = None,
    keep: Stages = None,
    machine: Texts = None,
) -> dict[str, str]:
    """Run a recipe from crawl to promote; returns the id of its run record.

    Args:
        recipe: The name of a recipe in recipes/ (demo, nightly, ...), or the path of a YAML file.
        overrides: Values that replace the recipe's, one each: pretrain.tokens=6_000_000.
        snapshot: The crawl to work on; empty: the recipe's, or the day of the run.
        from_stage: The first stage to run; the newest run's are taken for those before it. Empty: crawl.
        until: The last stage to run. Empty: promote.
        only: The one stage to run; leave `from_stage` and `until` empty.
        force: Stages that run although their artifacts are there.
        keep: Stages that keep their artifacts although their code changed.
        machine: Values that replace the machine file's, one each: workers=4.
    """
    todo = select(from_stage, until, only)
    check_stages([*(force or []), *(keep or [])])
    with (
        HOME.runs.alive(f"flow-{flow_run.id}"),
        _begun(recipe, overrides or [], machine or [], snapshot, todo) as run,
    ):
        told, after = _cached(
            run, todo, Options(tuple(force or ()), tuple(keep or ()), tuple(machine or ()))
        )
        for name in todo[len(told) :]:
            done = FLOWS[name](
                recipe=recipe,
                overrides=overrides or [],
                force=name in (force or []),
                keep=name in (keep or []),
                machine=machine or [],
                run=run,
                after=after,
            )
            after = [done]
            row = stage_row(name, HOME.runs.load(run).stages[name])
            get_run_logger().info("%(stage)s: %(state)s, %(seconds).1f s, %(out)s", row)
        rows = [stage_row(name, stage) for name, stage in HOME.runs.load(run).stages.items()]
        put_table("summary", rows, f"Run {run}: what each stage did")
    return {"run": run}


@contextmanager
def going_on(run: str) -> Iterator[None]:
    """Within it the pipeline goes on with a run that this process has begun, and keeps its record."""
    token = _BEGUN.set(run)
    try:
        yield
    finally:
        _BEGUN.reset(token)


@contextmanager
def _begun(
    recipe: str,
    overrides: Sequence[str],
    machine: Sequence[str],
    snapshot: str | None,
    todo: Sequence[str],
) -> Iterator[str]:
    """The id of this flow run's record: one that was begun, or a new one."""
    run = _BEGUN.get()
    if run is not None:
        record = HOME.runs.load(run)
        record.flow_run_id = str(flow_run.id)
        HOME.runs.save(record)
        yield run
        return
    with refusal_told(HOME.folder, str(flow_run.id), recipe):
        loaded = recipe_of_run(recipe, overrides, machine, HOME.machine_file, todo)
        ready.check(loaded, load_machine(HOME.machine_file, machine), todo)
    scheduled = flow_run.scheduled_start_time
    flow_run_id = str(flow_run.id)
    with begun(HOME.runs, loaded, todo, snapshot or None, flow_run_id, scheduled) as run:
        yield run


def _cached(
    run: str, todo: Sequence[str], options: Options
) -> tuple[list[Told], list[dict[str, str]]]:
    """The stages that the store has whole, shown as parts of this flow run; what the next follows."""
    if _BEGUN.get() is not None:
        kept = untold(HOME, run)
        told = [] if kept is None else kept[1]
    else:
        told = run_cached(HOME, recipe_of(HOME.runs.load(run)), run, todo, options)
    after: list[dict[str, str]] = []
    address = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    if told and address:
        try:
            with connected(HOME, address) as client:
                last = tell_stages(client, str(flow_run.id), HOME.runs.load(run), told)
            if last is not None:
                after.append({"stage": told[-1].stage, "run": run})
                shown: State[Any] = Completed(state_details=StateDetails(task_run_id=UUID(last)))
                link_state_to_task_run_result(shown, after[-1])
        except httpx.HTTPError as error:
            get_run_logger().warning("the UI does not show the stages that are cached: %s", error)
    forget_untold(HOME, run)
    return told, after
