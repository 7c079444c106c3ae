"""How the report's sections read the artifacts of a run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.report.settings import ReportValues
from llm.evaluation.result import Measured, Result, read
from llm.step import BadInput, Inputs

MANIFEST = "manifest.json"


def results(values: ReportValues, inputs: Inputs) -> dict[str, Measured]:
    """What each suite found out, by name. Inputs are called SUITE.MODEL and baselines.NAME."""
    baselines = {
        title: result
        for name, title in values.baselines.items()
        if (result := _result(inputs, f"baselines.{name}")) is not None
    }
    found = {}
    for suite in values.suites:
        by_model = ((model, _result(inputs, f"{suite}.{model}")) for model in values.models)
        models = {model: result for model, result in by_model if result is not None}
        found[suite] = Measured(models, baselines)
    return found


def figures(values: ReportValues, inputs: Inputs) -> Iterator[tuple[str, float]]:
    """Every figure under its name, and under that of each group: perplexity.base.bits_per_byte.docs."""
    names = [f"{suite}.{model}" for suite in values.suites for model in values.models]
    names += [f"baselines.{name}" for name in values.baselines]
    for name in names:
        result = _result(inputs, name)
        for figure in () if result is None else result.figures.values():
            yield f"{name}.{figure.name}", figure.value
            for group, part in figure.groups.items():
                if group:
                    yield f"{name}.{figure.name}.{group}", part.value


def _result(inputs: Inputs, name: str) -> Result | None:
    folders = inputs.get(name, ())
    return read(folders[0]) if folders else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of an artifact. Raises BadInput."""
    try:
        value: dict[str, Any] = json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}): make that artifact again") from error
    return value


def models(values: ReportValues, inputs: Inputs) -> Iterator[tuple[str, Path]]:
    """The artifacts of the models, by name. Raises ValueError where there are others than named."""
    yield from ((values.models[0], folder) for folder in inputs.get("pretrain", ()))
    yield from tuned(values, inputs, "finetune")


def tuned(values: ReportValues, inputs: Inputs, step: str) -> Iterator[tuple[str, Path]]:
    """The artifacts that a step made for the tuned models, by name. Raises ValueError as `models` does."""
    _, *names = values.models
    folders: Sequence[Path] = inputs.get(step, ())
    if len(folders) not in (0, len(names)):
        raise ValueError(f"{len(folders)} artifacts of {step} for {len(names)} fine-tuned models")
    yield from zip(names, folders, strict=False)


def manifest(folder: Path) -> Mapping[str, Any] | None:
    """What the store wrote beside an artifact."""
    path = folder / MANIFEST
    return read_json(path) if path.is_file() else None
