"""`penstock ladder`: which size to train in a given time, by a scaling law fitted to small runs."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.shared import shown, split
from flows.environment import HOME

if TYPE_CHECKING:
    from tasks.commands.ladder import Advice

console = Console(stderr=True)
SHOWN = 3  # sizes on either side of the best


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(ladder)


def ladder(
    recipe: str = typer.Argument("demo", help="Path or name of a recipe that has made tokens."),
    minutes: float = typer.Option(
        help="How long the run to plan may take on this machine (minutes).", min=0.1
    ),
    budget: float | None = typer.Option(
        None,
        help="For all small runs together (minutes); default: a quarter of --minutes. One that is too "
        "small for a law is refused before any training.",
        min=0.1,
    ),
    overrides: list[str] = typer.Option(
        [], "--set", help="Override a value: pretrain.model.heads=4, machine.processes=1."
    ),
    force: bool = typer.Option(False, "--force", help="Train the small models again."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
) -> None:
    """Find the model size to train in a given time: a scaling law from small, cached runs."""
    from llm.recipe import load_recipe
    from llm.step import PrintReporter
    from tasks.commands.ladder import BEFORE, LADDER, advise, budget_seconds, foresee
    from tasks.engine.run import Options

    values, machine = split(overrides)
    loaded = load_recipe(recipe, values, (*BEFORE, "pretrain"))
    options = Options((LADDER,) if force else (), (), tuple(machine))
    # Not while a server starts: what is tried would seem slower than it is.
    foresee(HOME, loaded, budget_seconds(minutes, budget), options, PrintReporter())
    with shown(console):
        from flows.ladder import ladder as flow

        done = flow(
            recipe=recipe,
            minutes=minutes,
            budget=budget,
            overrides=values,
            force=force,
            machine=machine,
        )
    advice = advise(HOME, done["run"], loaded, 60 * minutes)
    if as_json:
        print(json.dumps({"run": done["run"], "minutes": minutes, **advice.to_json()}, indent=1))
    else:
        print_advice(advice, minutes, Console())


def print_advice(advice: "Advice", minutes: float, console: Console) -> None:
    """The rungs, the sizes round the best, and what to change in the recipe, for people."""
    found, choice = advice.found, advice.found.choice
    console.print()
    console.print(_table("Small runs", found.unit, advice.rows()))
    law, speed = found.law, found.speed
    console.print(
        f"{found.unit} = {law.floor:.3f} + {law.size:.4g} / N^{law.alpha:.3f} + {law.data:.4g} / "
        f"D^{law.beta:.3f} for N parameters and D tokens, off by {law.error:.4f} (root mean square)\n"
        f"a token takes {1e6 * speed.overhead:,.2f} µs, and {1e12 * speed.seconds_per_flop:,.3g} µs a "
        f"MFLOP; a run {found.start_up:,.1f} s besides",
        highlight=False,
    )
    near = advice.candidates()[max(0, found.best - SHOWN) : found.best + SHOWN + 1]
    console.print()
    console.print(_table(f"In {minutes:g} minutes", found.unit, near))
    console.print()
    console.print(
        f"[bold]Train {choice.parameters:,} parameters on {choice.tokens:,} tokens[/bold] "
        f"({choice.epochs:.1f} epochs): {choice.loss:.3f} {found.unit} expected, "
        f"{found.low:.3f} to {found.high:.3f}",
        highlight=False,
    )
    for note in found.notes:
        console.print(f"note: {note}", highlight=False, style="yellow")
    line = " ".join(f"--set {path}={value}" for path, value in advice.changes.items())
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, unit: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(unit if name == "loss" else name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
