"""Penstock's own layout, for models that fit none of `transformers`: our names, our fields."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.table import Stored, Table
from llm.step import BadInput

MODEL_TYPE = "penstock"
WRITTEN_BESIDE = ("model_type", "bos_token_id", "eos_token_id", "pad_token_id", "vocab_size")


def table(config: ModelConfig, names: list[str]) -> Table:
    """Every tensor holds the parameter of its name."""
    return {name: Stored((name,)) for name in names}


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name of a tensor in a file: its own."""
    return name


def repeats(name: str) -> str | None:
    """The tensor that a tensor repeats: none, tied weights are written once."""
    return None


def config_json(config: ModelConfig) -> dict[str, Any]:
    """Every field of the configuration, and the size of the vocabulary as others call it."""
    fields = dataclasses.asdict(config)
    return {"model_type": MODEL_TYPE, "vocab_size": config.vocabulary, **fields}


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput for fields that are missing or unknown."""
    own = {name: value for name, value in fields.items() if name not in WRITTEN_BESIDE}
    try:
        return ModelConfig(**own)
    except TypeError as error:
        raise BadInput(f"{path} does not describe a model: {error}") from error
