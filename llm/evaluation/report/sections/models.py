"""What the models are, and digests that tell their files apart."""

from collections.abc import Iterator
from pathlib import Path

from llm.durable import file_digest
from llm.evaluation.report.inputs import models, read_json
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.section import Definitions, Section
from llm.evaluation.suite import BASE
from llm.step import Inputs
from llm.words import counted

NOTE = "Digests are the first 16 hex digits of BLAKE2b over the file."


def show(values: ReportValues, inputs: Inputs) -> Iterator[Section]:
    """Shape, weights and tokenizer of each model."""
    rows = []
    for name, folder in models(values, inputs):
        for key, value in described(folder / "model").items():
            rows.append((key if name == BASE else f"{name}: {key}", value))
    if rows:
        yield Section("Provenance", NOTE, parts=[Definitions(rows)], wide=True)


def described(folder: Path) -> dict[str, str]:
    """What a model folder holds: shape, and digests of weights and tokenizer."""
    if not folder.is_dir():
        return {}
    from llm.models.folder import read_config  # imports torch

    config = read_config(folder)
    # The name of the folder's layout: qwen3, gpt2, or penstock for our own.
    kind = read_json(folder / "config.json")["model_type"]
    shape = (
        f"{kind}, {config.parameters:,} parameters, {counted(config.layers, 'layer')}, "
        f"width {config.d_model}, {counted(config.heads, 'head')}, vocabulary {config.vocabulary}, "
        f"context {config.context_length} tokens"
    )
    weights = {
        f"weights ({path.name})": file_digest(path)[:16]
        for path in sorted(folder.glob("*.safetensors"))
    }
    return {
        "model": shape,
        **weights,
        "tokenizer (tokenizer.json)": file_digest(folder / "tokenizer.json")[:16],
    }
