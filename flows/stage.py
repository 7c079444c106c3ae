"""Running one stage: as a part of the pipeline, or alone on what the newest run left."""

from collections.abc import Sequence

from prefect.runtime import flow_run

from flows.environment import HOME
from llm.recipe import STAGES, Recipe, load_machine, load_recipe
from tasks.orchestrate import PrefectRun
from tasks.record import day_of, newest_snapshot, recorded, take
from tasks.run import Options, Wiring, carry_out_stage


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
        taken = take(HOME.runs, loaded, STAGES[: STAGES.index(stage)])
        before = newest_snapshot(HOME.runs, loaded) if taken else None
        day = snapshot or before or day_of(loaded, flow_run.scheduled_start_time)
        with recorded(HOME.runs, loaded, day, taken, str(flow_run.id)) as own:
            return _carry_out(stage, wiring, loaded, options, own)


def _carry_out(
    stage: str, wiring: Wiring, recipe: Recipe, options: Options, run_id: str
) -> dict[str, str]:
    record = HOME.runs.load(run_id)
    machine = load_machine(HOME.machine_file, options.machine)
    run = PrefectRun(stage, recipe, record.snapshot, HOME.store, HOME.runs, machine, options)
    carry_out_stage(run, wiring, run_id)
    return {"stage": stage, "run": run_id}
