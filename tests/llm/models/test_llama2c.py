"""llama2.c's .bin against transformers, by way of a model folder; files that are none are refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from llm.models import folder, llama2c
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

LAYERS, KINDS = 2, ["attention_norm", "attention.query", "attention.key", "attention.value", "attention.output", "feed_forward_norm", "feed_forward.gate", "feed_forward.down", "feed_forward.up"]  # fmt: skip


def write_bin(model: Decoder, path: Path, angles: bool) -> None:
    """As llama2.c's export writes it: rotary pairs beside each other, each kind of all layers."""
    config = model.config
    parameters = dict(model.named_parameters())

    def beside(weight: torch.Tensor) -> torch.Tensor:
        halves = weight.view(-1, 2, config.head_dim // 2, config.d_model)
        return halves.transpose(1, 2).reshape(weight.shape)

    tensors = [parameters["embedding"]]
    for kind in KINDS:
        for layer in range(config.layers):
            weight = parameters[f"blocks.{layer}.{kind}.weight"]
            turned = kind in ("attention.query", "attention.key")
            tensors.append(beside(weight) if turned else weight)
    tensors.append(parameters["norm.weight"])
    if angles:
        tensors.append(torch.full((config.context_length, config.head_dim), 9.0))
    vocabulary = config.vocabulary
    if "head" in parameters:
        tensors.append(parameters["head"])
        vocabulary = -vocabulary
    header = struct.pack(
        "<7i",
        config.d_model,
        config.hidden,
        config.layers,
        config.heads,
        config.kv_heads,
        vocabulary,
        config.context_length,
    )
    values = [tensor.detach().numpy().astype("<f4").tobytes() for tensor in tensors]
    path.write_bytes(header + b"".join(values))


@pytest.mark.parametrize("tie, angles", [(True, True), (True, False), (False, True)])
def test_a_bin_becomes_a_folder_that_transformers_reads(
    tie: bool, angles: bool, tmp_path: Path, tokenizer_json: Path
) -> None:
    settings = ModelSettings(
        preset="llama",
        layers=LAYERS,
        d_model=48,
        heads=4,
        kv_heads=2,
        context_length=32,
        norm_epsilon=1e-5,
        tie_embeddings=tie,
    )
    model = Decoder(settings.resolve(VOCABULARY))
    randomise(model)
    write_bin(model, tmp_path / "model.bin", angles)
    llama2c.convert(tmp_path / "model.bin", tokenizer_json, tmp_path / "model")
    again, _ = folder.load(tmp_path / "model")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokens = torch.randint(VOCABULARY, (2, 32), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(again(tokens), theirs(tokens).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "data, named",
    [
        (b"short", "too short"),
        (struct.pack("<7i", 0x616B3432, 1, 48, 80, 2, 4, 2), "export the model with version 0"),
        (struct.pack("<7i", 8, 16, 1, 2, 2, 10, 4) + b"\0" * 400, "is it a whole .bin"),
    ],
)
def test_files_that_are_none_are_refused(data: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=named):
        llama2c.read(path)


@pytest.mark.real_data
def test_every_weight_of_stories260k_is_read(shared_data: Path) -> None:
    path = shared_data / "model/stories260K/stories260K.bin"
    model = llama2c.read(path)
    values = np.frombuffer(path.read_bytes(), "<f4", offset=28)
    angles = model.config.context_length * model.config.head_dim
    assert model.parameter_count() == model.config.parameters
    assert len(values) - model.parameter_count() in (0, angles)
