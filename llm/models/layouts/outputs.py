"""What config.json says of a head for whole texts, the same in every layout of transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from llm.models.config import ModelConfig, Outputs, Pooling, Problem
from llm.models.layouts.fields import named, part
from llm.step import BadInput

FOR_TEXTS = "ForSequenceClassification"
FIELDS = ("problem_type", "id2label", "label2id", "pooling")
POOLING: Mapping[str, Pooling] = {"encoder": "first", "decoder": "last", "encoder_decoder": "last"}
"""Whose state transformers' classes take; Penstock's own layout says it in `pooling`."""


def for_texts(architecture: str, config: ModelConfig) -> str:
    """The class of transformers: `architecture`, or the one of its family for whole texts."""
    if config.outputs is None:
        return architecture
    for ending in ("ForCausalLM", "LMHeadModel"):
        architecture = architecture.replace(ending, FOR_TEXTS)
    return architecture


def misfit(config: ModelConfig) -> list[str]:
    """The field `outputs`, where no class of transformers tells texts so."""
    other = config.outputs and config.outputs.pooling != POOLING[config.architecture]
    return ["outputs"] if other else []


def outputs_json(config: ModelConfig) -> dict[str, Any]:
    """The fields of config.json; none for a model that says tokens."""
    if config.outputs is None:
        return {}
    labels = config.outputs.labels
    return {
        "problem_type": config.outputs.problem,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "pooling": config.outputs.pooling,
    }


def read_outputs(path: Path, fields: Mapping[str, Any], architecture: str) -> Outputs | None:
    """What config.json says of them; architecture: ours. None for a model that says tokens.

    Raises BadInput for labels that are not numbered from 0.
    """
    classes = fields.get("architectures") or [""]
    ours = fields.get("model_type") == "penstock" and "problem_type" in fields
    if not (str(classes[0]).endswith(FOR_TEXTS) or ours):
        return None
    names = part(path, fields, "id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    if sorted(names) != sorted(map(str, range(len(names)))) or not all(
        isinstance(label, str) for label in names.values()
    ):
        raise BadInput(f'{path}: id2label must name its labels by "0", "1" and so on')
    labels = tuple(names[str(number)] for number in range(len(names)))
    usual = "regression" if len(labels) == 1 else "single_label_classification"
    problem = fields.get("problem_type") or usual
    pooling = fields.get("pooling") or POOLING[architecture]
    return Outputs(
        problem=named(path, "problem_type", problem, {name: name for name in get_args(Problem)}),
        labels=labels,
        pooling=named(path, "pooling", pooling, {name: name for name in get_args(Pooling)}),
    )
