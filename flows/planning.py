"""What a run would do: the stages' own wiring, carried out by nobody."""

import datetime
from collections.abc import Sequence

from flows.pipeline import select
from flows.stage import newest_snapshot, take
from llm.recipe import STAGES, load_machine, load_recipe
from llm.runs import Outputs, outputs_from_json
from llm.store import Reference
from tasks import clean, crawl, evaluate, finetune, pretrain, promote, tokenize, tokenizer
from tasks.home import Home
from tasks.plan import NotYet, Planned, PlanRun
from tasks.run import Options
from tasks.step import UNKNOWN

WIRING = {
    "crawl": crawl.crawl,
    "clean": clean.clean,
    "tokenizer": tokenizer.tokenizer,
    "tokenize": tokenize.tokenize,
    "pretrain": pretrain.pretrain,
    "finetune": finetune.finetune,
    "evaluate": evaluate.evaluate,
    "promote": promote.promote,
}


def make_plan(
    home: Home,
    recipe: str,
    overrides: Sequence[str],
    snapshot: str | None,
    from_stage: str | None,
    until: str | None,
    only: str | None,
    force: Sequence[str],
    keep: Sequence[str],
    machine: Sequence[str],
) -> list[Planned]:
    """Every call that a run with these parameters would make, in order."""
    loaded = load_recipe(recipe, overrides)
    todo = select(from_stage, until, only)
    taken = take(loaded, STAGES[: STAGES.index(todo[0])])
    day = snapshot or loaded.snapshot or (newest_snapshot(loaded) if taken else None)
    outputs = {name: outputs_from_json(result["outputs"]) for name, result in taken.items()}
    planned: list[Planned] = []
    for stage in todo:
        run = PlanRun(
            stage,
            loaded,
            day or f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
            home.store,
            home.runs,
            load_machine(home.machine_file, machine),
            Options(tuple(force), tuple(keep)),
        )
        try:
            outputs[stage] = WIRING[stage](run, outputs)
        except NotYet:
            run.planned.append(Planned(stage, "the rest", "may run", ("it depends on the above",)))
            outputs[stage] = _unknown(stage)
        planned += run.planned
    return planned


def _unknown(stage: str) -> Outputs:
    """Stand-ins for what a stage would put out."""
    unknown = Reference(stage, UNKNOWN, UNKNOWN)
    kinds = {"clean": ("documents", "decisions")}
    return {kind: {"all": unknown} for kind in kinds.get(stage, ())}
