"""What a finished run is summed up to: a line a stage, a sample of text, the report's path."""

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llm.store import Reference
from tasks.home import Home

# A step within a stage that tells of itself too: how well duplicates are found.
SEARCH = "duplicates"


def summarize(home: Home, run_id: str) -> dict[str, Any]:
    """A run as plain data: stages, total seconds, metrics, a sample, the report's path."""
    record = home.runs.load(run_id)
    rows = [stage_row(stage, result) for stage, result in record.stages.items()]
    summary: dict[str, Any] = {
        "run": record.id,
        "recipe": record.recipe,
        "snapshot": record.snapshot,
        "seconds": round((record.ended_at or record.started_at) - record.started_at, 1),
        "stages": rows,
    }
    outputs = record.outputs("evaluate")
    if outputs is not None and "report" in outputs:
        folder = home.store.local(_only(outputs["report"]))
        summary["report"] = str(folder / "report.html")
        summary["metrics"] = json.loads((folder / "metrics.json").read_text("utf8"))
    if outputs is not None and outputs.get("samples"):
        folder = home.store.local(_only(outputs["samples"]))
        summary["samples"] = json.loads((folder / "samples.json").read_text("utf8"))
    return summary


def _only(items: dict[str, Reference]) -> Reference:
    return next(iter(items.values()))


def stage_row(stage: str, result: dict[str, Any]) -> dict[str, Any]:
    """Stage, cached or run, seconds, what came out."""
    steps = result["steps"]
    actions = {step["action"] for step in steps}
    if result["ran"]:
        state = "run" if result["ran"] == len(steps) else f"run {result['ran']} of {len(steps)}"
    else:
        state = next((name for name in ("kept", "taken") if name in actions), "cached")
    said = [step["summary"] for step in steps if step["summary"]]
    searched = [step["summary"] for step in steps if step["step"] == SEARCH and step["summary"]]
    out = [*said[-1:], *(text for text in searched[-1:] if text not in said[-1:])]
    return {
        "stage": stage,
        "state": state,
        "ran": result["ran"],
        "steps": len(steps),
        "seconds": result["seconds"],
        "out": "; ".join(out),
    }


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """The summary for people."""
    table = Table(
        title=f"{summary['recipe']}, snapshot {summary['snapshot']}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("stage")
    table.add_column("cached or run")
    table.add_column("seconds", justify="right")
    table.add_column("what came out", overflow="fold")
    for row in summary["stages"]:
        table.add_row(row["stage"], row["state"], f"{row['seconds']:,.1f}", escape(row["out"]))
    table.add_row("together", "", f"{summary['seconds']:,.1f}", "")
    console.print()
    console.print(table)
    for sample in _samples(summary)[:2]:
        console.print()
        console.print(
            f"[bold]{escape(sample['prompt'])}[/bold]{escape(sample['text'])}", highlight=False
        )
    if "report" in summary:
        console.print()
        console.print(f"report: {summary['report']}", highlight=False, soft_wrap=True)


def _samples(summary: dict[str, Any]) -> list[dict[str, str]]:
    samples = summary.get("samples", [])
    return list(samples["samples"] if isinstance(samples, dict) else samples)
