"""When, where and how the models of a report were made, as their artifacts' manifests tell it.

Two runs that make the same models do so at other times: what is told here is no part of the
report's content.
"""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from llm.evaluation.report.inputs import manifest, models
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.section import Definitions, Section
from llm.evaluation.suite import BASE
from llm.step import Inputs
from llm.words import counted, duration

NOTE = (
    "Times are UTC, those of the artifacts: a model that came from the cache bears the date on which "
    "it was trained. `penstock show STAGE` has every setting."
)


def show(values: ReportValues, inputs: Inputs) -> Iterator[Section]:
    """Nothing where no artifact has a manifest."""
    rows = list(_rows(values, inputs))
    if rows:
        named = [("recipe", values.title), ("snapshot", values.snapshot)]
        parts = [Definitions([*named, *rows])]
        yield Section("About this run", NOTE, parts=parts, wide=True, content=False)


def _rows(values: ReportValues, inputs: Inputs) -> Iterator[tuple[str, str]]:
    for name, folder in models(values, inputs):
        made = manifest(folder)
        if made is None:
            continue
        if name != BASE:
            yield name, _made(made)
            yield f"{name}: training", made["summary"]
            continue
        yield "base model", _made(made)
        yield "trained", _trained(made)
        yield "learning rate", _rate(made["values"])
        if made["values"].get("seed") is not None:
            yield "seed", str(made["values"]["seed"])
    for suite in values.suites[:1]:
        for folder in inputs.get(f"{suite}.{BASE}", ()):
            made = manifest(folder)
            if made is not None:
                yield "measured", _made(made)


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
