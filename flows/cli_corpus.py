"""Commands that look into a corpus, tune its rules and erase from it: whatif, browse, takedown."""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.environment import HOME

JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")
SET = typer.Option([], "--set", help="Change a rule: clean.filters.gopher_quality.min_words=30.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(whatif)


def whatif(
    recipe: str = typer.Argument("demo", help="Path or name of a recipe that has been run."),
    overrides: list[str] = SET,
    as_json: bool = JSON,
) -> None:
    """Tell what each rule keeps and drops, now and with other thresholds; reads no text."""
    from llm.corpus.whatif import whatif as compare
    from tasks.corpus import corpus_of, decide_values, find_run, with_changes

    record = find_run(HOME, recipe)
    changed_recipe, changed = with_changes(record, recipe, overrides)
    nights = corpus_of(HOME, record)
    told = compare(
        [
            (night.values, decide_values(night.values, changed_recipe), night.inputs)
            for night in nights
        ]
    )
    changes = [{"path": path, "before": old, "after": new} for path, old, new in changed]
    if as_json:
        print(json.dumps({"run": record.id, "changes": changes, **told}, indent=1))
        return
    console = Console()
    console.print(f"run {record.id}", highlight=False)
    for one in changes:
        console.print(escape(f"{one['path']}: {one['before']} → {one['after']}"), highlight=False)
    console.print(_whatif_table(told))
    if changes:
        moved = told["moved"]
        console.print(
            f"{_amount(moved['in'])} would come in, {_amount(moved['out'])} would go",
            highlight=False,
        )
    console.print(
        "[dim]alone: all that a rule drops by itself; first: what it is the first to drop; only: "
        "what would be kept without it[/dim]",
        highlight=False,
    )


def _whatif_table(told: dict[str, Any]) -> Table:
    """Rules that drop something, before or after; "7 → 15" where that differs."""
    from llm.corpus.whatif import by_rule

    table = Table(box=None, pad_edge=False)
    table.add_column("rule", overflow="fold")
    for name in ("alone", "first", "only"):
        table.add_column(name, justify="right")
        table.add_column("MB", justify="right")
    before, after = by_rule(told["before"]), by_rule(told["after"])
    silent = 0
    for rule in {**after, **before}:
        sides = before.get(rule), after.get(rule)
        if not any(side and side["alone"]["documents"] for side in sides):
            silent += 1
            continue
        cells = [
            _change([None if side is None else side[name] for side in sides], unit)
            for name in ("alone", "first", "only")
            for unit in ("documents", "bytes")
        ]
        table.add_row(escape(rule), *cells, style="" if sides[0] == sides[1] else "bold")
    for name, pair in (
        ("kept", [told[side]["kept"] for side in ("before", "after")]),
        ("in", [told[side] for side in ("before", "after")]),
    ):
        cells = [_change(pair, unit) for unit in ("documents", "bytes")]
        table.add_row(name, "", "", *cells, style="bold")
    table.caption = f"{silent} more rules drop nothing" if silent else None
    table.caption_justify = "left"
    return table


def _change(pair: Sequence[dict[str, int] | None], unit: str) -> str:
    said = [
        "off"
        if side is None
        else f"{side[unit]:,}"
        if unit == "documents"
        else f"{side[unit] / 1e6:,.2f}"
        for side in pair
    ]
    return said[0] if said[0] == said[1] else " → ".join(said)


def _amount(size: dict[str, int]) -> str:
    """Documents and bytes, for people: "12 (0.3 MB)"."""
    if not size["documents"]:
        return "0"
    return f"{size['documents']:,} ({size['bytes'] / 1e6:.2f} MB)"
