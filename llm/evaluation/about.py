"""When, where and how the models of a report were made, as their artifacts' manifests tell it.

Two runs that make the same models do so at other times: what is told here is no part of the
report's content.
"""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.kit import definitions, section
from llm.step import Inputs
from llm.words import counted, duration

MANIFEST = "manifest.json"
NOTE = (
    "Times are UTC, those of the artifacts: a model that came from the cache bears the date on which "
    "it was trained. `penstock show STAGE` has every setting."
)


def about(recipe: str, snapshot: str, names: Sequence[str], inputs: Inputs) -> str:
    """The section; empty where no artifact has a manifest. inputs and names: the report's."""
    rows = [("recipe", recipe), ("snapshot", snapshot), *_rows(names, inputs)]
    return section("About this run", NOTE, definitions(rows)) if len(rows) > 2 else ""


def _rows(names: Sequence[str], inputs: Inputs) -> Iterator[tuple[str, str]]:
    for made in _manifests(inputs, "pretrain"):
        yield "base model", _made(made)
        yield "trained", _trained(made)
        yield "learning rate", _rate(made["values"])
        if made["values"].get("seed") is not None:
            yield "seed", str(made["values"]["seed"])
    for name, made in zip(names, _manifests(inputs, "finetune"), strict=False):
        yield f"{name}", _made(made)
        yield f"{name}: training", made["summary"]
    for made in _manifests(inputs, "perplexity_base")[:1]:
        yield "measured", _made(made)


def _manifests(inputs: Inputs, name: str) -> list[dict[str, Any]]:
    paths = [folder / MANIFEST for folder in inputs.get(name, ())]
    return [_read(path) for path in paths if path.is_file()]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _made(manifest: Mapping[str, Any]) -> str:
    made = manifest["made"]
    when = datetime.datetime.fromtimestamp(made["at"], datetime.UTC)
    took = duration(manifest["seconds"])
    return f"{when:%Y-%m-%d %H:%M}, in {took}, on {made['host']} with Python {made['python']}"


def _trained(manifest: Mapping[str, Any]) -> str:
    batch = manifest["values"].get("batch_tokens")
    return manifest["summary"] + (f"; {counted(batch, 'token')} a step" if batch else "")


def _rate(values: Mapping[str, Any]) -> str:
    schedule = values.get("schedule", {})
    optimizer = values.get("optimizer", {}).get("type")
    rate = f"{schedule['peak_lr']:g} at its peak" if "peak_lr" in schedule else "unknown"
    if "warmup_tokens" in schedule:
        rate += f", after a warm-up of {counted(schedule['warmup_tokens'], 'token')}"
    if "decay_fraction" in schedule:
        rate += f", falling over the last {schedule['decay_fraction']:.0%} of the run"
    return rate + (f"; optimizer {optimizer}" if optimizer else "")
