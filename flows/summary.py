"""What a finished run is summed up to: a line a stage, a sample of text, the report's path."""

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llm.evaluation.suites.samples import FILE
from llm.store import Reference
from llm.words import counted
from tasks.engine.home import Home

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
        summary["samples"] = [
            {"model": model, **sample}
            for model, reference in outputs["samples"].items()
            for sample in json.loads((home.store.local(reference) / FILE).read_text("utf8"))
        ]
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
    searched = [step["summary"] for step in steps if step["step"] == SEARCH and step["summary"]]
    said = _said(result)
    out = [said, *(text for text in searched[-1:] if text != said)]
    return {
        "stage": stage,
        "state": state,
        "ran": result["ran"],
        "steps": len(steps),
        "seconds": result["seconds"],
        "out": "; ".join(filter(None, out)),
    }


def _said(result: dict[str, Any]) -> str:
    """What a stage says came out: of its last step, and of all calls of that step together."""
    telling = [step for step in result["steps"] if step["summary"]]
    if not telling:
        return ""
    last = telling[-1]
    calls = [step for step in telling if step["step"] == last["step"]]
    if len(calls) == 1:
        return str(last["summary"])
    together = result.get("counts", {}).get(last["step"])
    if together is not None and last["step"] in TOGETHER:
        return TOGETHER[last["step"]](together)
    return "; ".join(f"{_label(step)}: {step['summary']}" for step in calls)


def _label(step: dict[str, Any]) -> str:
    """Which call of its step this is."""
    return str(step["name"]).removeprefix(step["step"]).strip() or str(step["step"])


def _pages(counts: dict[str, Any]) -> str:
    return f"{counted(counts['pages'], 'page')}, {counts['bytes'] / 1e6:,.1f} MB"


def _documents(counts: dict[str, Any]) -> str:
    return f"{counted(counts['documents'], 'document')}, {counts['bytes'] / 1e6:,.2f} MB"


def _tokens(counts: dict[str, Any]) -> str:
    held = sum(source["tokens"] for source in counts["validation"].values())
    train = counts["tokens"] - held
    return f"{train:,} tokens for training, {held:,} for validation"


TOGETHER: dict[str, Callable[[dict[str, Any]], str]] = {
    "crawl": _pages,
    "write": _documents,
    "tokenize": _tokens,
}
"""How the counts of all calls of a step are told."""


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
    for sample in summary.get("samples", [])[:2]:
        console.print()
        console.print(
            f"[bold]{escape(sample['prompt'])}[/bold]{escape(sample['text'])}", highlight=False
        )
    if "report" in summary:
        console.print()
        console.print(f"report: {summary['report']}", highlight=False, soft_wrap=True)
