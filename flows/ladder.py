"""The ladder as a flow: small runs of a recipe, each a task, and what they recommend as tables."""

from contextlib import closing
from functools import partial

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.environment import HOME
from flows.parameters import Number, Texts, recipe_of_run
from llm.recipe import load_machine
from tasks.commands.ladder import BEFORE, LADDER, advise, budget_seconds, climb, tokens_of
from tasks.engine.orchestrate import PrefectRun, put_table
from tasks.engine.record import night_of, recorded
from tasks.engine.reporting import StepReporter
from tasks.engine.run import Options, carry_out_stage


@flow(name="ladder", flow_run_name="ladder {recipe}")
def ladder(
    recipe: str = "demo",
    minutes: float = 60.0,
    budget: Number = None,
    overrides: Texts = None,
    force: bool = False,
    machine: Texts = None,
) -> dict[str, str]:
    """Train small models of a recipe's family, and tell which one to train in `minutes`.

    On the tokens that the recipe's newest run left. Raises BadInput before any training where they
    are too few for a law. Returns the id of its run record.

    Args:
        recipe: The name of a recipe in recipes/ that has made tokens, or the path of a YAML file.
        minutes: How long the run to plan may take on this machine (minutes).
        budget: For all small models together (minutes); empty: a quarter of `minutes`.
        overrides: Values that replace the recipe's, one each: pretrain.model.heads=4.
        force: Train the small models again.
        machine: Values that replace the machine file's, one each: processes=1.
    """
    stages = (*BEFORE, "pretrain")
    loaded = recipe_of_run(recipe, overrides or [], machine or [], HOME.machine_file, stages)
    options = Options((LADDER,) if force else (), (), tuple(machine or ()))
    settings = load_machine(HOME.machine_file, options.machine)
    with HOME.runs.alive(f"flow-{flow_run.id}"):
        # Only now: nothing is deleted while the sign is held.
        taken = tokens_of(HOME.runs, loaded)
        day = night_of(HOME.runs, loaded, None, from_newest=True)
        with (
            recorded(HOME.runs, loaded, day, taken, str(flow_run.id)) as own,
            closing(StepReporter(LADDER, get_run_logger(), flow_run.id)) as report,
        ):
            run = PrefectRun(LADDER, loaded, day, HOME.store, HOME.runs, settings, options)
            seconds = budget_seconds(minutes, budget)
            carry_out_stage(run, partial(climb, seconds=seconds, report=report), own)
        advice = advise(HOME, own, loaded, 60 * minutes)
        put_table("ladder", advice.rows(), f"Small runs (loss: {advice.found.unit})")
        put_table("sizes", advice.candidates(), f"What {minutes:g} minutes are enough for")
    return {"run": own}
