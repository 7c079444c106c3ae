"""Commands about runs: run, plan, why, and ui, which starts what runs them on a schedule."""

import functools
import json
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from flows.cli.shared import split
from flows.environment import HOME
from llm.recipe import find_recipe
from llm.step import PrintReporter

if TYPE_CHECKING:
    from tasks.commands.costs import Costs
    from tasks.engine.plan import Estimate

RECIPE = typer.Argument("demo", help="Path of a recipe, or the name of one in recipes/.")
SET = typer.Option(
    [], "--set", help="Override a value: pretrain.tokens=6_000_000, machine.workers=4."
)
SNAPSHOT = typer.Option(None, help="Which crawl to work on; default: the recipe's, or today.")
FROM = typer.Option(None, "--from", help="Take the stages before this one from the newest run.")
UNTIL = typer.Option(None, help="The last stage to run.")
ONLY = typer.Option(None, help="Run one stage, on what the newest run left.")
FORCE = typer.Option([], help="Run this stage even if it is cached (repeatable).")
KEEP = typer.Option([], help="Keep this stage's artifacts even if its code changed (repeatable).")
TRIAL = typer.Option(
    True,
    "--trial/--no-trial",
    help="If pretraining would run, try its first steps to measure time and memory.",
)
JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")
console = Console(stderr=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (run, plan, why, ui):
        app.command()(command)


def run(
    recipe: str = RECIPE,
    overrides: list[str] = SET,
    snapshot: str | None = SNAPSHOT,
    from_stage: str | None = FROM,
    until: str | None = UNTIL,
    only: str | None = ONLY,
    force: list[str] = FORCE,
    keep: list[str] = KEEP,
    as_json: bool = JSON,
) -> None:
    """Run a recipe. Finished work comes from the cache."""
    find_recipe(recipe)  # before what takes a second to import
    from flows.running import run_recipe
    from flows.summary import print_summary, summarize

    values, machine = split(overrides)
    done = run_recipe(
        console, recipe, values, snapshot, from_stage, until, only, force, keep, machine
    )
    summary = summarize(HOME, done)
    if as_json:
        print(json.dumps(summary, indent=1))
    else:
        print_summary(summary, Console())


def plan(
    recipe: str = RECIPE,
    overrides: list[str] = SET,
    snapshot: str | None = SNAPSHOT,
    from_stage: str | None = FROM,
    until: str | None = UNTIL,
    only: str | None = ONLY,
    force: list[str] = FORCE,
    keep: list[str] = KEEP,
    trial: bool = TRIAL,
    as_json: bool = JSON,
) -> None:
    """Show what a run would do, why, and what pretraining takes, without doing any of it."""
    find_recipe(recipe)
    from rich.markup import escape
    from rich.table import Table

    from flows.alike import alike
    from flows.costs import print_costs
    from flows.planning import make_plan

    values, machine = split(overrides)
    costs = _costs(trial)
    planned = make_plan(
        HOME, recipe, values, snapshot, from_stage, until, only, force, keep, machine, costs
    )
    if as_json:
        print(json.dumps([item.to_json() for item in planned], indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "step", "will", "last took", "why"):
        table.add_column(column, overflow="fold")
    for items in alike(planned, lambda item: (item.stage, item.step, item.action, item.why)):
        item = items[0]
        known = [one.seconds for one in items if one.seconds is not None]
        took = f"{sum(known):,.1f} s" if known else ""
        call = item.call if len(items) == 1 else f"{item.step} ({len(items):,} calls)"
        table.add_row(item.stage, call, item.action, took, escape("; ".join(item.why)))
    Console().print(table)
    print_costs(planned, Console())


def _costs(trial: bool) -> "Estimate":
    """What a call takes; what tells it is imported for the first call that may run."""

    @functools.cache
    def made() -> "Costs":
        from tasks.commands.costs import Costs

        return Costs(HOME, trial, PrintReporter())

    return lambda run, call: made()(run, call)


def why(
    stage: str = typer.Argument(help="The stage to explain."),
    recipe: str = typer.Option("demo", help="Path or name of the recipe."),
    overrides: list[str] = SET,
    as_json: bool = JSON,
) -> None:
    """Explain why a stage would run again: which value, module, library or input changed."""
    find_recipe(recipe)
    from flows.planning import make_plan

    values, machine = split(overrides)
    planned = make_plan(HOME, recipe, values, None, None, stage, None, [], [], machine)
    own = [item for item in planned if item.stage == stage]
    if as_json:
        print(json.dumps([item.to_json() for item in own], indent=1))
        return
    for item in own:
        reason = "; ".join(item.why) or "nothing that it depends on has changed"
        Console().print(f"{item.call}: {item.action}: {reason}", highlight=False, markup=False)


def ui(
    port: int = typer.Option(4200, help="Port of the web page (on this machine only)."),
    workers: int = typer.Option(2, help="Runs at the same time (count)."),
) -> None:
    """Start the Prefect server, a worker and the deployments; Ctrl-C stops them."""
    from flows.service.ui import run_ui

    run_ui(HOME, port, workers, console)
