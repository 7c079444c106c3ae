"""`penstock status`: what came of the newest runs, and what the store takes on the disk."""

import dataclasses
import datetime
import json
import os
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.shared import name_unreadable
from flows.environment import HOME
from llm.words import counted, size
from tasks.engine import notify

if TYPE_CHECKING:
    from llm.runs import Head

JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(status)


def status(
    count: int = typer.Option(10, help="How many runs (count)."),
    disk: bool = typer.Option(
        False, "--disk", help="Show what each recipe's artifacts take on the disk instead."
    ),
    as_json: bool = JSON,
) -> None:
    """Show the newest runs: how they ended, and which stages finished."""
    if disk:
        _show_disk(as_json)
        return
    from flows.service.access import client_settings
    from flows.service.announce import announced

    given = os.environ.get("PREFECT_API_URL")
    address = announced(HOME)
    if given or address:
        if address and not given:
            os.environ |= {**client_settings(HOME), "PREFECT_API_URL": f"{address}/api"}
        _close_crashed()
    else:
        notify.close_crashed(HOME)
    runs = [head for head in HOME.runs.heads() if not head.problem][:count]
    unreadable = HOME.runs.unreadable()
    if as_json:
        told = {
            "runs": [_row(run) for run in runs],
            "pointers": HOME.runs.pointers(),
            "unreadable": list(unreadable.values()),
            "ui": address,
        }
        print(json.dumps(told, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "snapshot", "outcome", "started", "seconds", "stages"):
        table.add_column(column, overflow="fold")
    for run in runs:
        row = _row(run)
        ran = [f"{name}*" if count else name for name, count in run.stages.items()]
        seconds = "" if row["seconds"] is None else f"{row['seconds']:,.0f}"
        table.add_row(run.id, run.snapshot, run.outcome, row["started"], seconds, " ".join(ran))
    console = Console()
    console.print(table)
    console.print(
        "* ran; the others came from the cache" if runs else "no runs yet: penstock run demo"
    )
    for name, value in HOME.runs.pointers().items():
        if "metric" in value:
            said = f"{value['metric']} {value['value']:.4f}"
        else:
            said = f"{counted(value['steps'], 'step')}, {counted(value['phases'], 'phase')}"
        console.print(f"{name}: {said}, snapshot {value['snapshot']}", highlight=False)
    for run in runs:
        if run.message:
            console.print(f"{run.id}: {run.message}", highlight=False, markup=False)
    name_unreadable(console, unreadable)


def _show_disk(as_json: bool) -> None:
    """The store by recipe, and what is free."""
    from llm.training.ranks.room import free_bytes
    from tasks.commands.usage import usage

    found, folder = usage(HOME), HOME.store.scratch
    if as_json:
        told = [dataclasses.asdict(one) for one in found]
        print(json.dumps({"recipes": told, "free_bytes": free_bytes(folder)}, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", overflow="fold")
    for column in ("artifacts", "size", "of no other recipe"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(one.recipe, f"{one.artifacts:,}", size(one.bytes), size(one.own_bytes))
    console = Console()
    console.print(table)
    console.out(f"{size(free_bytes(folder))} free at {folder}", highlight=False)


def _close_crashed() -> None:
    """Mark runs that died as crashed, in Prefect too where one of them ran there."""
    if HOME.runs.left_signs():
        from flows.service.watch import close_crashed

        close_crashed(HOME, with_api=True)
    else:
        notify.close_crashed(HOME)


def _row(run: "Head") -> dict[str, Any]:
    started = datetime.datetime.fromtimestamp(run.started_at, datetime.UTC)
    return {
        "id": run.id,
        "recipe": run.recipe,
        "snapshot": run.snapshot,
        "outcome": run.outcome,
        "message": run.message,
        "started": f"{started:%Y-%m-%d %H:%M:%S} UTC",
        "seconds": None if run.ended_at is None else round(run.ended_at - run.started_at, 1),
        "stages": dict(run.stages),
    }
