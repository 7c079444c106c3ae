"""Models in the .bin layout of llama2.c (its first, without a magic number), to decoders."""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llm.models.config import ModelConfig
from llm.models.decoder import Decoder
from llm.models.folder import save
from llm.step import BadInput

HEADER = struct.Struct("<7i")  # dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len


def convert(model_bin: Path, tokenizer_json: Path, folder: Path) -> None:
    """Write a .bin as a model folder with its tokenizer, for `pretrain.init` and `transformers`.

    Raises BadInput for a file that is not in this layout.
    """
    save(read(model_bin), folder, tokenizer_json)


def read(path: Path) -> Decoder:
    """The decoder of a .bin file: header, then float32 weights, each kind for all layers together.

    Raises BadInput for a file that is not in this layout.
    """
    data = path.read_bytes()
    config = _config(path, data)
    values = torch.from_numpy(np.frombuffer(data, "<f4", offset=HEADER.size).copy())
    layers, width = config.layers, config.d_model
    queries, keys = width, config.kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (config.vocabulary, width),
        "attention_norm": (layers, width),
        "attention.query": (layers, queries, width),
        "attention.key": (layers, keys, width),
        "attention.value": (layers, keys, width),
        "attention.output": (layers, width, queries),
        "feed_forward_norm": (layers, width),
        "feed_forward.gate": (layers, config.hidden, width),
        "feed_forward.down": (layers, width, config.hidden),
        "feed_forward.up": (layers, config.hidden, width),
        "norm": (width,),
        # cos and sin of the positions, which older files end with; nobody reads them.
        "angles": (2, config.context_length, config.head_dim // 2),
    }
    if not config.tie_embeddings:
        shapes["head"] = (config.vocabulary, width)
    sizes = [math.prod(shape) for shape in shapes.values()]
    without_angles = sum(sizes) - math.prod(shapes["angles"])
    if len(values) == without_angles and config.tie_embeddings:
        shapes.pop("angles")
        sizes.pop()
    if len(values) != sum(sizes):
        raise BadInput(
            f"{path} has {len(values):,} weights after its header, which asks for {sum(sizes):,}: "
            "is it a whole .bin of llama2.c, without a magic number?"
        )
    parts = values.split(sizes)
    kinds = {
        kind: part.view(shape) for (kind, shape), part in zip(shapes.items(), parts, strict=True)
    }
    model = Decoder(config)
    model.load_state_dict(_state(kinds, config))
    return model.eval()


def _config(path: Path, data: bytes) -> ModelConfig:
    if len(data) < HEADER.size:
        raise BadInput(f"{path} is {len(data)} bytes: too short for a model of llama2.c")
    width, hidden, layers, heads, kv_heads, vocabulary, context = HEADER.unpack_from(data)
    fits = min(width, hidden, layers, heads, kv_heads, abs(vocabulary), context) > 0
    if not fits or width % heads or heads % kv_heads or (width // heads) % 2:
        raise BadInput(
            f"{path}: its header ({width}, {hidden}, {layers}, {heads}, {kv_heads}, {vocabulary}, "
            f"{context}) is none of llama2.c's first layout; export the model with version 0"
        )
    return ModelConfig(
        vocabulary=abs(vocabulary),
        layers=layers,
        d_model=width,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width // heads,
        hidden=hidden,
        context_length=context,
        rope_theta=10_000.0,
        norm_epsilon=1e-5,
        tie_embeddings=vocabulary > 0,
        qk_norm=False,
    )


def _state(kinds: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The decoder's parameters by name."""
    state = {"embedding": kinds["embedding"], "norm.weight": kinds["norm"]}
    if "head" in kinds:
        state["head"] = kinds["head"]
    for kind, tensor in kinds.items():
        if kind in ("embedding", "norm", "head", "angles"):
            continue
        for layer in range(config.layers):
            turned = kind in ("attention.query", "attention.key")
            weight = _halves(tensor[layer], config.head_dim) if turned else tensor[layer]
            state[f"blocks.{layer}.{kind}.weight"] = weight
    return state


def _halves(weight: Tensor, head_dim: int) -> Tensor:
    """Rows (outputs, inputs) whose rotary pairs stand beside each other → half a head apart."""
    pairs = weight.view(-1, head_dim // 2, 2, weight.shape[1])
    return pairs.transpose(1, 2).reshape(weight.shape)
