"""The stages as flows: each a part of the pipeline, or run alone on what the newest run left."""

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.flows import Flow
from prefect.runtime import flow_run
from pydantic.json_schema import SkipJsonSchema

from flows.environment import HOME
from flows.parameters import Text, Texts, check_parent, recipe_of_run
from llm.recipe import STAGES, Recipe, load_machine
from tasks.engine import ready
from tasks.engine.orchestrate import PrefectRun
from tasks.engine.record import begun, recipe_of
from tasks.engine.run import Options, Wiring, carry_out_stage
from tasks.stages.wiring import WIRING


def _flow(stage: str, wiring: Wiring) -> Flow[Any, dict[str, str]]:
    """The flow of one stage: all of them take the same parameters."""

    @flow(name=stage, flow_run_name=f"{stage} {{recipe}}")
    def run_stage(
        recipe: str = "demo",
        overrides: Texts = None,
        snapshot: Text = None,
        force: bool = False,
        keep: bool = False,
        machine: Texts = None,
        run: SkipJsonSchema[str | None] = None,
        after: SkipJsonSchema[list[dict[str, str]] | None] = None,
    ) -> dict[str, str]:
        """Run one stage of a recipe, alone on what its newest run left, or within the pipeline.

        Args:
            recipe: The name of a recipe in recipes/ (demo, nightly, ...), or the path of a YAML file.
            overrides: Values that replace the recipe's, one each: pretrain.tokens=6_000_000.
            snapshot: The crawl to work on; empty: the newest run's.
            force: Run the stage although its artifacts are there.
            keep: Keep the stage's artifacts although its code changed.
            machine: Values that replace the machine file's, one each: workers=4.
            run: The id of the pipeline's record, which has the stages before; none: the stage runs
                alone and keeps a record of its own.
            after: The stage before, for the graph's arrows.
        """
        check_parent(run)
        names = (stage,)
        options = Options(names if force else (), names if keep else (), tuple(machine or ()))
        with HOME.runs.alive(f"flow-{flow_run.id}"):
            if run is not None:
                return _carry_out(stage, wiring, recipe_of(HOME.runs.load(run)), options, run)
            parameters = (recipe, overrides or [], machine or [])
            loaded = recipe_of_run(*parameters, HOME.machine_file, names)
            ready.check(loaded, load_machine(HOME.machine_file, options.machine), names)
            scheduled = flow_run.scheduled_start_time
            flow_run_id = str(flow_run.id)
            night = snapshot or None
            with begun(HOME.runs, loaded, names, night, flow_run_id, scheduled) as own:
                return _carry_out(stage, wiring, loaded, options, own)

    return run_stage


def _carry_out(
    stage: str, wiring: Wiring, recipe: Recipe, options: Options, run_id: str
) -> dict[str, str]:
    record = HOME.runs.load(run_id)
    machine = load_machine(HOME.machine_file, options.machine)
    run = PrefectRun(stage, recipe, record.snapshot, HOME.store, HOME.runs, machine, options)
    carry_out_stage(run, wiring, run_id)
    return {"stage": stage, "run": run_id}


crawl, clean, tokenizer, tokenize, pretrain, finetune, evaluate, promote = (
    _flow(stage, wiring) for stage, wiring in WIRING.items()
)
FLOWS: Mapping[str, Flow[Any, dict[str, str]]] = dict(
    zip(
        STAGES,
        (crawl, clean, tokenizer, tokenize, pretrain, finetune, evaluate, promote),
        strict=True,
    )
)
