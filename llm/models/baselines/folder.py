"""Folders of an LSTM or a CNN: model.safetensors and config.json, which says which of them it is."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse

from llm.durable import write_json
from llm.models.baselines.cnn import CNN
from llm.models.baselines.config import ARCHITECTURES, CNNConfig, LSTMConfig
from llm.models.baselines.lstm import LSTM
from llm.step import BadInput
from llm.tensor_file import write_tensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"
# What reading a folder that `save` has not written whole raises; RecursionError is a RuntimeError.
_BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
)
NAMES = {config: name for name, config in ARCHITECTURES.items()}


def build(config: LSTMConfig | CNNConfig, compute_dtype: torch.dtype = torch.float32) -> LSTM | CNN:
    """A model of this configuration; its parameters are not set."""
    if isinstance(config, LSTMConfig):
        return LSTM(config, compute_dtype)
    return CNN(config, compute_dtype)


def save(model: LSTM | CNN, folder: Path) -> None:
    """Write the model. Weights are float32, and the same model gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    # Copies: parameters may be views of one buffer, which safetensors refuses to take apart.
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    write_tensors(folder / WEIGHTS, weights)
    write_json(
        folder / CONFIG,
        {"architecture": NAMES[type(model.config)], **dataclasses.asdict(model.config)},
    )


def load(
    folder: Path,
    device: torch.device | None = None,
    compute_dtype: torch.dtype = torch.float32,
) -> LSTM | CNN:
    """Read a model, ready to be scored. Raises BadInput for what `save` has not written whole."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        model = build(ARCHITECTURES[config.pop("architecture")](**config), compute_dtype)
        model.load_state_dict(parse((folder / WEIGHTS).read_bytes()))
    except _BROKEN as error:
        raise BadInput(
            f"{folder} is not a whole baseline model ({error}): run the evaluate stage again"
        ) from error
    return model.to(device).eval()
