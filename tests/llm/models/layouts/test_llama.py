"""Sliding windows and biases in the layouts of Qwen3, Mistral and Llama, logits against transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

SIZES = {"layers": 3, "d_model": 48, "heads": 4, "kv_heads": 2, "context_length": 32}
TOKENS = torch.randint(VOCABULARY, (3, 32), generator=torch.Generator().manual_seed(2))
THEIRS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    "changes, model_type",
    [
        ({"window": 5}, "qwen3"),
        ({"window": 5, "full_attention_every": 2}, "qwen3"),
        ({"preset": "llama", "window": 5}, "mistral"),
        ({"preset": "llama", "bias": True}, "llama"),
    ],
)
def test_transformers_gives_the_same_logits_for_what_is_saved_here(
    changes: dict[str, Any], model_type: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    model = Decoder(ModelSettings(**{**SIZES, **changes}).resolve(VOCABULARY))
    randomise(model)
    folder.save(model, tmp_path / "model", tokenizer_json)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert theirs.config.model_type == model_type
    again = folder.load_decoder(tmp_path / "model")
    assert again.config == model.config
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), theirs(TOKENS).logits, atol=1e-4, rtol=1e-4)


WINDOW = {"use_sliding_window": True, "sliding_window": 5}


@pytest.mark.parametrize(
    "make, config, windows",
    [
        (
            Qwen3ForCausalLM,
            Qwen3Config(**THEIRS, **WINDOW, max_window_layers=0),
            (5, 5, 5),
        ),
        (
            Qwen3ForCausalLM,
            Qwen3Config(
                **THEIRS,
                **WINDOW,
                layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            ),
            (5, 5, None),
        ),
        (Qwen3ForCausalLM, Qwen3Config(**THEIRS, sliding_window=5), (None,) * 3),
        (MistralForCausalLM, MistralConfig(**THEIRS, sliding_window=5), (5, 5, 5)),
        (MistralForCausalLM, MistralConfig(**THEIRS, sliding_window=None), (None,) * 3),
        (LlamaForCausalLM, LlamaConfig(**THEIRS, attention_bias=True, mlp_bias=True), (None,) * 3),
    ],
)
def test_what_transformers_saves_gives_the_same_logits_here(
    make: Any, config: Any, windows: tuple[int | None, ...], tmp_path: Path
) -> None:
    theirs = make(config)
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = folder.load_decoder(tmp_path)
    assert ours.config.windows == windows
    with torch.no_grad():
        torch.testing.assert_close(ours(TOKENS), theirs(TOKENS).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "config, named",
    [
        (LlamaConfig(**THEIRS, attention_bias=True), "attention_bias True is not supported"),
        (Qwen3Config(**THEIRS, attention_bias=True), "attention_bias True is not supported"),
        (Qwen3Config(**THEIRS, **WINDOW, max_window_layers=2), "layer_types .* is not supported"),
    ],
)
def test_what_the_decoder_cannot_do_is_named(config: Any, named: str, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=named):
        folder.read_config(tmp_path)


@pytest.mark.parametrize(
    "changes, named",
    [
        (
            {
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "rope_parameters says rope_type 'default', rope_scaling says 'linear'",
        ),
        (
            {"rope_theta": 500.0, "rope_parameters": {"rope_theta": 10000.0}},
            r"rope_theta says rope_theta 500\.0, rope_parameters says 10000\.0",
        ),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": None},
            "rope_scaling 'linear' is not supported",
        ),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
            r"rope_parameters\.full_attention is a section",
        ),
    ],
)
def test_rotary_settings_that_disagree_or_scale_are_refused(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    Qwen3Config(**THEIRS).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(fields))
    with pytest.raises(BadInput, match=named):
        folder.read_config(tmp_path)


def test_rotary_settings_that_agree_in_two_places_are_read(tmp_path: Path) -> None:
    Qwen3Config(**THEIRS, rope_theta=500.0).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    rope = {"type": "default", "rope_theta": 500.0}
    path.write_text(json.dumps({**fields, "rope_theta": 500.0, "rope_scaling": rope}))
    assert folder.read_config(tmp_path).rope_theta == 500.0
