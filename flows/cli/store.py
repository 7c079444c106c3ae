"""Commands that look at the store: show, verify, gc."""

import datetime
import json
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

from flows.cli.printing import harmless_value
from flows.cli.shared import name_unreadable
from flows.environment import HOME
from llm.step import BadInput
from llm.words import counted, duration, size
from tasks.engine import notify

if TYPE_CHECKING:
    from llm.store import Artifact

JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")
DAMAGED = 3
MODEL = "model"  # what a training artifact calls its model folder


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (show, verify, gc):
        app.command()(command)


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
        name_unreadable(console, runs.unreadable())
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
