"""`penstock logs`: what a run did, call by call, and where more is written."""

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from flows.environment import HOME
from llm.step import BadInput
from llm.words import duration

if TYPE_CHECKING:
    from llm.runs import RunRecord

TAIL_LINES = 20


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(logs)


def logs(
    run: str | None = typer.Argument(
        None, help="A run, or a recipe for its newest run; default: the newest run."
    ),
    stage: str | None = typer.Argument(None, help="Only this stage."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Show what each call of a run did, why the run failed, and where its logs are."""
    from tasks.engine.record import check_stages

    if stage is not None:
        check_stages([stage])
    record = _find(run)
    calls = [call for call in _calls(record) if stage in (None, call["stage"])]
    files = [str(path) for path in sorted((HOME.folder / "logs").glob("*.log"))]
    work = [str(path) for path in sorted(HOME.store.scratch.glob("work/*/*/work/*.log"))]
    if as_json:
        told = {"run": record.id, "outcome": record.outcome, "message": record.message}
        print(json.dumps({**told, "calls": calls, "logs": files, "work_logs": work}, indent=1))
        return
    console = Console()
    started = datetime.datetime.fromtimestamp(record.started_at, datetime.UTC)
    console.out(
        f"{record.id}: {record.outcome}, snapshot {record.snapshot}, "
        f"started {started:%Y-%m-%d %H:%M:%S} UTC",
        highlight=False,
    )
    for call in calls:
        took = f" in {duration(call['seconds'])}" if call["seconds"] else ""
        said = f": {call['summary']}" if call["summary"] else ""
        console.out(
            f"{call['stage']}  {call['name']}  {call['action']}{took}{said}", highlight=False
        )
    if record.message:
        console.out(f"\n{record.message}", highlight=False)
    for path in work:
        console.out(f"\nthe end of {path}", highlight=False)
        for line in Path(path).read_text(errors="replace").splitlines()[-TAIL_LINES:]:
            console.out(f"  {line}", highlight=False)
    for path in files:
        console.out(f"log: {path}", highlight=False)


def _find(name: str | None) -> "RunRecord":
    """The newest run, that of a recipe, or the one whose id this is. Raises BadInput."""
    for head in HOME.runs.heads():
        if not head.problem and name in (None, head.id, head.recipe):
            return HOME.runs.load(head.id)
    raise BadInput(
        f"no run {name!r}: `penstock status` lists them"
        if name
        else "no runs yet: penstock run demo"
    )


def _calls(record: "RunRecord") -> list[dict[str, Any]]:
    """Calls of finished stages, then of the stage in which the run ended or is."""
    names = ("name", "step", "action", "seconds", "summary")
    done = [
        {"stage": stage, **{name: step.get(name) for name in names}}
        for stage, result in record.stages.items()
        for step in result["steps"]
    ]
    rest = [
        {"stage": call.get("stage"), **{name: call.get(name) for name in names}}
        for call in record.calls
        if call.get("stage") not in record.stages
    ]
    return done + rest
