"""The whole pipeline: each stage in turn, as far as its store does not have the answer already."""

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.flows import Flow
from prefect.runtime import flow_run

from flows.clean import clean
from flows.crawl import crawl
from flows.environment import HOME
from flows.evaluate import evaluate
from flows.finetune import finetune
from flows.pretrain import pretrain
from flows.promote import promote
from flows.stage import newest_snapshot, recorded, resolve_snapshot, take
from flows.tokenize import tokenize
from flows.tokenizer import tokenizer
from llm.recipe import STAGES, load_recipe
from llm.step import BadInput

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
    loaded = load_recipe(recipe, overrides or [])
    todo = select(from_stage, until, only)
    for name in [*(force or []), *(keep or [])]:
        _check(name)
    taken = take(loaded, STAGES[: STAGES.index(todo[0])])
    day = newest_snapshot(loaded) if taken and not snapshot else None
    with (
        HOME.runs.alive(f"flow-{flow_run.id}"),
        recorded(loaded, day or resolve_snapshot(loaded, snapshot), taken) as run,
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
    return {"run": run}


def select(from_stage: str | None, until: str | None, only: str | None) -> tuple[str, ...]:
    """Which stages a run covers, in order. Raises BadInput."""
    if only is not None and (from_stage or until):
        raise BadInput("--only goes with neither --from nor --until")
    for name in (from_stage, until, only):
        if name is not None:
            _check(name)
    first = STAGES.index(only or from_stage or STAGES[0])
    last = STAGES.index(only or until or STAGES[-1])
    if first > last:
        raise BadInput(f"--from {from_stage} comes after --until {until}")
    return STAGES[first : last + 1]


def _check(name: str) -> None:
    if name not in STAGES:
        raise BadInput(f"no stage {name!r}; the stages are {', '.join(STAGES)}")
