"""`penstock`: run recipes and look at what they made, from the command line.

Exit codes: 0 done, 1 the run failed, 2 the recipe or the arguments are wrong, 3 `verify` found
damage, 130 interrupted.
"""

import functools
import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from flows.cli import corpus, ladder, models, store, takedown
from flows.cli.shared import split
from flows.environment import HOME
from llm.step import BadInput, PrintReporter

if TYPE_CHECKING:
    from tasks.costs import Costs
    from tasks.plan import Estimate

app = typer.Typer(
    name="penstock",
    help="Text that keeps changing, turned into language models.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
FAILED, WRONG, INTERRUPTED = 1, 2, 130
# What arguments that are wrong raise. Typer has had a copy of click of its own since 0.26; the
# exceptions of another click, installed beside it, are none of these.
USAGE = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")

RECIPE = typer.Argument("demo", help="Path of a recipe, or the name of one in recipes/.")
SET = typer.Option(
    [], "--set", help="Override a value: pretrain.tokens=6_000_000, machine.workers=4."
)
SNAPSHOT = typer.Option(None, help="Which crawl to work on; default: the recipe's, or today.")
FROM = typer.Option(None, "--from", help="Take the stages before this one from the newest run.")
UNTIL = typer.Option(None, help="The last stage to run.")
ONLY = typer.Option(None, help="Run one stage, on what the newest run left.")
FORCE = typer.Option([], help="Run this stage although its artifacts are there (repeatable).")
KEEP = typer.Option([], help="Keep this stage's artifacts although its code changed (repeatable).")
TRIAL = typer.Option(
    True,
    "--trial/--no-trial",
    help="Where pretraining would run: try its first steps, to tell time and memory.",
)
JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Text that keeps changing, turned into language models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
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
    """Run a recipe: what is done already comes from the cache."""
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


@app.command()
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
    """Tell what a run would do, why, and what pretraining takes, without doing any of it."""
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
        from tasks.costs import Costs

        return Costs(HOME, trial, PrintReporter())

    return lambda run, call: made()(run, call)


@app.command()
def why(
    stage: str = typer.Argument(help="The stage to explain."),
    recipe: str = typer.Option("demo", help="Path or name of the recipe."),
    overrides: list[str] = SET,
    as_json: bool = JSON,
) -> None:
    """Tell why a stage would run again: which value, module, library or input changed."""
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


@app.command()
def schema(
    as_json: bool = JSON,
    markdown: bool = typer.Option(False, "--markdown", help="Print docs/recipe.md."),
) -> None:
    """List every field of a recipe with its type, default, unit and meaning."""
    from rich.markup import escape

    from flows.reference import recipe_reference
    from llm.recipe import Recipe, fields

    if markdown:
        print(recipe_reference(), end="")
        return

    if as_json:
        print(json.dumps(Recipe.model_json_schema(), indent=1))
        return
    for field in fields():
        default = f" = {field.default}" if field.default else ""
        Console().print(
            f"[bold]{escape(field.path)}[/bold]: {escape(field.type + default)}", highlight=False
        )
        if field.description:
            Console().print(f"    {escape(field.description)}", highlight=False)


@app.command()
def ui(
    port: int = typer.Option(4200, help="Port of the web page (on this machine only)."),
    workers: int = typer.Option(2, help="Runs at the same time (count)."),
) -> None:
    """Start the Prefect server, a worker and the deployments; Ctrl-C stops them."""
    from flows.service.ui import serve

    serve(HOME, port, workers, console)


store.register(app)
models.register(app)
corpus.register(app)
takedown.register(app)
ladder.register(app)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: errors are one clear line, the traceback comes with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or bool(os.environ.get("PENSTOCK_DEBUG"))
    try:
        # Typer turns Ctrl-C into an exit code of its own.
        code: Any = app([item for item in given if item != "--debug"], standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except typer.Exit as stop:
        code = stop.exit_code
    except BaseException as error:
        code = _explain(error, debug)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException, debug: bool) -> int:
    if isinstance(error, SystemExit):
        raise error
    # Ctrl-C is an Abort to typer; SIGTERM within a flow is Prefect's own exception.
    interruptions = (KeyboardInterrupt, typer.Abort)
    if isinstance(error, interruptions) or type(error).__name__ == "TerminationSignal":
        console.print("interrupted: what is finished is kept; run again to go on")
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, USAGE):
        error.show()  # type: ignore[attr-defined]
        return WRONG
    from flows.service.server import ServerError

    clear = isinstance(error, BadInput | ServerError)
    message = str(error) if clear else f"{type(error).__name__}: {error}"
    console.print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    if not clear and not debug:
        console.print("(--debug shows the traceback)", highlight=False)
    return WRONG if isinstance(error, BadInput) else FAILED
