"""Commands that look at the store: status, show, verify, gc."""

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.printing import harmless_value
from flows.environment import HOME
from llm.step import BadInput
from llm.words import counted, duration, size
from tasks.engine import notify

if TYPE_CHECKING:
    from llm.runs import Head
    from llm.store import Artifact

JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")
DAMAGED = 3
MODEL = "model"  # what a training artifact calls its model folder


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (status, show, verify, gc):
        app.command()(command)


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
    _name_unreadable(console, unreadable)


def _show_disk(as_json: bool) -> None:
    """The store by recipe, and what is free."""
    from llm.training.room import free_bytes
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


def _name_unreadable(console: Console, unreadable: Mapping[Path, str]) -> None:
    for problem in unreadable.values():
        console.print(
            f"skipped: {problem}. Restore it from a backup, or delete it: as long as it is there, "
            "gc removes nothing that it may refer to",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


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


def resolve(name: str) -> "list[Artifact]":
    """Artifacts by STEP/KEY (a key's first letters suffice), or a stage's, of its newest run.

    Raises BadInput.
    """
    from llm.store import Reference

    store = HOME.store
    step, _, prefix = name.partition("/")
    if prefix:
        keys = [key for _, key in store.names(step) if key.startswith(prefix)]
        found = [item for key in keys if (item := store.read(step, key)) is not None]
    else:
        head = next((head for head in HOME.runs.heads() if name in head.stages), None)
        record = None if head is None else HOME.runs.load(head.id)
        references = (
            []
            if record is None
            else [Reference.from_json(item["reference"]) for item in record.stages[name]["steps"]]
        )
        found = [item for ref in references if (item := store.read(ref.step, ref.key)) is not None]
    if not found:
        raise BadInput(
            f"no artifact {name!r}: give a stage, or STEP/KEY as `penstock show STAGE` prints them"
        )
    return found


def show(
    artifact: str = typer.Argument(help="STEP/KEY, or a stage: its artifacts in the newest run."),
    as_json: bool = JSON,
) -> None:
    """Show what made an artifact: values, inputs, code, files, counts, time."""
    found = resolve(artifact)
    if as_json:
        print(json.dumps([dict(item.manifest) for item in found], indent=1))
        return
    console = Console()
    for item in found:
        manifest = harmless_value(dict(item.manifest))
        ref = item.reference
        console.print(
            f"[bold]{ref.step}/{ref.key[:16]}[/bold]  {escape(manifest['label'])}  "
            f"{escape(manifest['summary'])}",
            highlight=False,
            soft_wrap=True,
        )
        made = datetime.datetime.fromtimestamp(manifest["made"]["at"], datetime.UTC)
        console.print(
            f"  made {made:%Y-%m-%d %H:%M} UTC in {duration(manifest['seconds'])}, {size(item.bytes)}",
            highlight=False,
        )
        folder = HOME.store.local(ref)
        console.out(f"  {folder}", highlight=False)
        if (folder / MODEL / "config.json").is_file():
            console.out(f"  Hugging Face model folder: {folder / MODEL}", highlight=False)
        if len(found) == 1:
            keep = ("values", "identity", "inputs", "counts", "files", "fingerprint")
            console.print_json(json.dumps({name: manifest[name] for name in keep}))


def verify(
    artifacts: list[str] = typer.Argument(None, help="STEP/KEY or stages; default: everything."),
    as_json: bool = JSON,
) -> None:
    """Compare every file with its digest; set damaged artifacts aside (exit code 3)."""
    store = HOME.store
    found = (
        [item for name in artifacts for item in resolve(name)]
        if artifacts
        else list(store.artifacts())
    )
    damaged = []
    for item in found:
        problems = store.verify(item, set_aside=True)
        if problems:
            ref = item.reference
            damaged.append({"artifact": f"{ref.step}/{ref.key}", "problems": problems})
    if as_json:
        print(json.dumps({"checked": len(found), "damaged": damaged}, indent=1))
    else:
        for bad in damaged:
            Console().print(
                f"damaged, set aside: {bad['artifact']}: {'; '.join(bad['problems'])}",
                highlight=False,
            )
        Console().print(
            f"{counted(len(found), 'artifact')} checked, {len(damaged):,} damaged", highlight=False
        )
    if damaged:
        raise typer.Exit(DAMAGED)


def gc(
    keep_runs: int | None = typer.Option(
        None,
        help="Newest completed runs of each recipe to keep (count); default: the recipe's policy.keep_runs.",
        min=1,
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would be removed."),
    as_json: bool = JSON,
) -> None:
    """Remove artifacts that no kept run and no pointer refers to, after saying how much."""
    from llm.runs import collect, find_garbage

    store, runs = HOME.store, HOME.runs
    notify.close_crashed(HOME)
    garbage = find_garbage(store, runs, keep_runs)
    said: dict[str, Any] = {
        "bytes": garbage.bytes,
        "artifacts": len(garbage.artifacts),
        "work_folders": len(garbage.folders),
        "runs": len(garbage.records),
        "busy": garbage.busy,
        "unreadable": list(runs.unreadable().values()),
        "unsure": [str(path) for path in garbage.unsure],
    }
    console = Console()
    if not as_json and garbage.busy:
        console.print(
            "a run is in progress: gc removes nothing until it has ended", highlight=False
        )
    elif not as_json:
        console.print(
            f"{size(said['bytes'])} in {counted(said['artifacts'], 'artifact')} and "
            f"{counted(said['work_folders'], 'work folder')} that no kept run refers to; "
            f"{counted(said['runs'], 'old run record')}",
            highlight=False,
        )
        _name_unreadable(console, runs.unreadable())
    removed = bool(garbage) and not dry_run
    removed = removed and (yes or typer.confirm("Remove them?", default=False, err=as_json))
    if removed:
        # Decided again: a run may have taken some of it while the question waited.
        gone = collect(store, runs, garbage)
        said |= {
            "bytes": gone.bytes,
            "artifacts": len(gone.artifacts),
            "work_folders": len(gone.folders),
            "runs": len(gone.records),
        }
    if as_json:
        print(json.dumps({**said, "removed": removed}, indent=1))
    elif removed:
        kept = len(garbage.artifacts) - len(gone.artifacts)
        stay = f"; {counted(kept, 'artifact')} in use again: kept" if kept else ""
        console.print(f"removed{stay}", highlight=False)
