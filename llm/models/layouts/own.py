"""Penstock's own layout, for models that fit none of `transformers`: our names, our fields."""

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from llm.models.config import ModelConfig
from llm.models.layouts.fields import flag, named, number, whole
from llm.models.layouts.outputs import FIELDS
from llm.models.layouts.table import Stored, Table
from llm.step import BadInput

MODEL_TYPE = "penstock"
WRITTEN_BESIDE = (
    "model_type",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "vocab_size",
    *FIELDS,
)


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of the layout: none, it has them all."""
    return []


def may_lack(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """How the names of parameters begin that a file need not have: none."""
    return ()


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
    del fields["outputs"]  # said as in the other layouts
    return {"model_type": MODEL_TYPE, "vocab_size": config.vocabulary, **fields}


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput for fields that are missing or unknown."""
    known = {field.name: field for field in dataclasses.fields(ModelConfig)}
    unknown = [name for name in fields if name not in (*WRITTEN_BESIDE, *known)]
    if unknown:
        raise BadInput(f"{path}: {unknown[0]} is no field of a model; remove it")
    hints = get_type_hints(ModelConfig)
    given: dict[str, Any] = {"export": MODEL_TYPE, "outputs": None}
    for name, field in known.items():
        if name in given:
            continue
        kinds = get_args(hints[name]) if get_origin(hints[name]) is types.UnionType else ()
        if type(None) in kinds and fields.get(name) is None:
            given[name] = None
        elif fields.get(name) is not None:
            given[name] = _value(path, fields, name, kinds[0] if kinds else hints[name])
        elif field.default is dataclasses.MISSING:
            raise BadInput(f"{path}: {name} must be given")
    return ModelConfig(**given)


def _value(path: Path, fields: Mapping[str, Any], name: str, kind: Any) -> Any:
    """The value of a field of this type, in the limits that the recipe's section sets."""
    if get_origin(kind) is Literal:
        return named(path, name, fields[name], {value: value for value in get_args(kind)})
    if kind is bool:
        return flag(path, fields, name, False)
    if kind is int:
        return whole(path, fields, name, least=0 if name == "token_types" else 1)
    if name == "dropout":
        return number(path, fields, name, 0.0, least=0, below=1)
    return number(path, fields, name, 0.0, above=0)
