"""`penstock accept`: artifacts stay in use after a change of the code that was only a refactoring."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.alike import alike
from flows.cli.shared import split
from flows.environment import HOME
from llm.recipe import find_recipe
from llm.words import counted, duration, size

if TYPE_CHECKING:
    from tasks.commands.accept import Accepted

REFUSED = 1
NAMED = 4  # modules that changed, in a row of the table


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(accept)


def accept(
    stages: list[str] = typer.Argument(
        help="Stages that follow each other, or all: crawl clean tokenizer."
    ),
    recipe: str = typer.Option("demo", help="Path or name of the recipe."),
    overrides: list[str] = typer.Option(
        [], "--set", help="Override a value of the recipe, as the run did."
    ),
    snapshot: str | None = typer.Option(
        None, help="Which crawl they belong to; default: the newest."
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
) -> None:
    """Keep the artifacts of older code: you say that the change since did not change results.

    Values and inputs must be the same. Exit code 1 where something cannot be accepted.
    """
    find_recipe(recipe)
    from tasks.commands.accept import FINE
    from tasks.commands.accept import accept as look

    values, _ = split(overrides)
    found = look(HOME, recipe, stages, values, snapshot, writes=False)
    coming = [one for one in found if one.outcome == "accepted"]
    if not as_json:
        _print(Console(), found)
    question = f"Accept {counted(len(coming), 'artifact')} as what today's code would make?"
    written = bool(coming) and not dry_run
    written = written and (yes or typer.confirm(question, default=False, err=as_json))
    if written:
        found = look(HOME, recipe, stages, values, snapshot, writes=True)
    if as_json:
        told = [one.to_json() for one in found]
        print(json.dumps({"calls": told, "written": written}, indent=1))
    elif written:
        print(
            f"accepted {counted(len(coming), 'artifact')}; penstock plan shows what is left to run"
        )
    if any(one.outcome not in FINE for one in found):
        raise typer.Exit(REFUSED)


def _print(console: Console, found: "Sequence[Accepted]") -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "step", "is", "took", "what changed"):
        table.add_column(column, overflow="fold")
    for items in alike(found, lambda one: (one.stage, one.call.split()[0], one.outcome, one.why)):
        item = items[0]
        call = item.call if len(items) == 1 else f"{item.call.split()[0]} ({len(items):,} calls)"
        took = sum(one.seconds for one in items)
        row = (item.stage, call, item.outcome, duration(took) if took else "", _short(item.why))
        table.add_row(*map(escape, row))
    console.print(table)
    coming = [one for one in found if one.outcome == "accepted"]
    taken = sum(one.bytes for one in coming)
    took = sum(one.seconds for one in coming)
    console.print(
        f"{counted(len(coming), 'artifact')} of older code can be accepted: {size(taken)}, which took "
        f"{duration(took)} to make",
        highlight=False,
    )


def _short(why: "Sequence[str]") -> str:
    """What changed, with no more than some of the modules by name."""
    modules = [one for one in why if one.startswith("llm/")]
    if len(modules) <= NAMED:
        return "; ".join(why)
    others = [one for one in why if one not in modules]
    named = "; ".join([*others, *modules[:NAMED]])
    return f"{named}; {counted(len(modules) - NAMED, 'more module')} (--json names all)"
