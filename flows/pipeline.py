"""The whole pipeline: each stage in turn, as far as its store does not have the answer already."""

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.flows import Flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.clean import clean
from flows.crawl import crawl
from flows.environment import HOME
from flows.evaluate import evaluate
from flows.finetune import finetune
from flows.parameters import recipe_of_run
from flows.pretrain import pretrain
from flows.promote import promote
from flows.summary import stage_row
from flows.tokenize import tokenize
from flows.tokenizer import tokenizer
from llm.recipe import STAGES, load_machine
from tasks import ready
from tasks.orchestrate import put_table
from tasks.record import check_stages, night_of, recorded, select, take

FLOWS: Mapping[str, Flow[Any, dict[str, str]]] = {
    "crawl": crawl,
    "clean": clean,
    "tokenizer": tokenizer,
    "tokenize": tokenize,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
    "promote": promote,
}
assert tuple(FLOWS) == STAGES


@flow(name="pipeline", flow_run_name="{recipe}")
def pipeline(
    recipe: str = "demo",
    overrides: list[str] | None = None,
    snapshot: str | None = None,
    from_stage: str | None = None,
    until: str | None = None,
    only: str | None = None,
    force: list[str] | None = None,
    keep: list[str] | None = None,
    machine: list[str] | None = None,
) -> dict[str, str]:
    """Run a recipe from crawl to promote; returns the id of its run record.

    from_stage: stages before it are taken from the recipe's newest run as they are.
    until: the last stage to run. only: one stage, on what the newest run left.
    force, keep: stages that run although done; stages that keep artifacts of older code.
    """
    todo = select(from_stage, until, only)
    loaded = recipe_of_run(recipe, overrides or [], machine or [], HOME.machine_file, todo)
    ready.check(loaded, load_machine(HOME.machine_file, machine or []), todo)
    check_stages([*(force or []), *(keep or [])])
    taken = take(HOME.runs, loaded, STAGES[: STAGES.index(todo[0])])
    day = night_of(HOME.runs, loaded, snapshot, bool(taken), flow_run.scheduled_start_time)
    with (
        HOME.runs.alive(f"flow-{flow_run.id}"),
        recorded(HOME.runs, loaded, day, taken, str(flow_run.id)) as run,
    ):
        after: list[dict[str, str]] = []
        for name in todo:
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
