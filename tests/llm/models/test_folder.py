"""Model folders: transformers reads what is written here and the other way round, logits equal."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput
from tests.llm.models.random_weights import randomise

VOCABULARY = 97
SIZES = {"layers": 2, "d_model": 48, "heads": 4, "kv_heads": 2, "context_length": 32}


def decoder(**changes: Any) -> Decoder:
    model = Decoder(ModelSettings(**{**SIZES, **changes}).resolve(VOCABULARY))
    randomise(model)
    return model


def tokens() -> torch.Tensor:
    return torch.randint(VOCABULARY, (3, 32), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("preset", ["qwen3", "llama"])
@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("head_dim", [None, 16])
def test_transformers_gives_the_same_logits_for_a_saved_model(
    preset: str, tie: bool, head_dim: int | None, tmp_path: Path, tokenizer_json: Path
) -> None:
    model = decoder(preset=preset, tie_embeddings=tie, head_dim=head_dim, rope_theta=500.0)
    folder.save(model, tmp_path / "model", tokenizer_json)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert theirs.config.rope_parameters["rope_theta"] == 500.0
    with torch.no_grad():
        torch.testing.assert_close(model(tokens()), theirs(tokens()).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(
    "layout", [(Qwen3Config, Qwen3ForCausalLM), (LlamaConfig, LlamaForCausalLM)]
)
def test_a_model_saved_by_transformers_gives_the_same_logits_here(
    layout: tuple[Any, Any], tie: bool, tmp_path: Path, tokenizer_json: Path
) -> None:
    make_config, make_model = layout
    theirs = make_model(
        make_config(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=32,
            tie_word_embeddings=tie,
        )
    )
    randomise(theirs)
    theirs.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())
    ours, _ = folder.load(tmp_path / "model")
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens()), theirs(tokens()).logits, atol=1e-4, rtol=1e-4)


def test_a_model_in_several_weight_files_is_read(tmp_path: Path, tokenizer_json: Path) -> None:
    model = decoder()
    folder.save(model, tmp_path / "whole", tokenizer_json)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "cut", max_shard_size="20kB")
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) > 1
    ours = folder.load_decoder(tmp_path / "cut")
    assert torch.equal(ours(tokens()), model(tokens()))


def test_saving_and_loading_changes_no_bit(tmp_path: Path, tokenizer_json: Path) -> None:
    model = decoder(tie_embeddings=False)
    model.compute_dtype = torch.bfloat16
    folder.save(model, tmp_path / "one", tokenizer_json)
    again, tokenizer = folder.load(tmp_path / "one")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    assert again.config == model.config
    assert tokenizer.token_to_id("<|im_end|>") == 2
    folder.save(again, tmp_path / "two", tokenizer_json)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_transformers_reads_the_tokenizer_and_its_chat_template(
    tmp_path: Path, tokenizer_json: Path
) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    folder.save(decoder(), tmp_path, tokenizer_json, template)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id) == (0, 0, 3)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "word5"}], tokenize=False)
    assert text == "<|im_start|>word5<|im_end|>"
    assert AutoModelForCausalLM.from_pretrained(tmp_path).generation_config.eos_token_id == [0, 2]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"model_type": "gemma3"}, "model_type 'gemma3'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"use_sliding_window": True}, "with sliding_window None"),
        (
            {"layer_types": ["full_attention", "sliding_attention"]},
            r"layer_types \['full_attention', 'sliding_attention'\]",
        ),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling 'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": None}, "'linear'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3"),
        ({"num_hidden_layers": 3}, "the weights lack model.layers.2"),
        ({"num_hidden_layers": 1}, "tensor model.layers.1"),
        ({"intermediate_size": 64}, r"mlp.\w+_proj.weight is \(\d+, \d+\)"),
    ],
)
def test_what_the_decoder_cannot_do_is_named(
    changes: dict[str, Any], named: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(decoder(), tmp_path, tokenizer_json)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(BadInput, match=named):
        folder.load(tmp_path)


@pytest.mark.parametrize(
    "damage, named",
    [
        (lambda path: (path / "config.json").unlink(), "no config.json"),
        (lambda path: (path / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda path: (path / "model.safetensors").write_bytes(b"x" * 99), "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused_with_the_file_named(
    damage: Callable[[Path], None], named: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(decoder(), tmp_path, tokenizer_json)
    damage(tmp_path)
    with pytest.raises(BadInput, match=named):
        folder.load(tmp_path)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path, tokenizer_json: Path) -> None:
    model = Decoder(ModelSettings(**SIZES).resolve(VOCABULARY - 1))
    randomise(model)
    folder.save(model, tmp_path, tokenizer_json)
    with pytest.raises(BadInput, match="has 97 tokens"):
        folder.load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "encoder", "window": 4, "full_attention_every": 2},
        {"architecture": "encoder", "next_sentence": True, "token_types": 2},
        {"architecture": "encoder_decoder", "preset": "gpt2"},
        {"logit_soft_cap": 20.0, "attention_soft_cap": 30.0},
        {"feed_forward": "relu2", "norm_position": "post", "tie_embeddings": False},
    ],
)
def test_a_model_that_fits_no_layout_is_kept_in_our_own(
    changes: dict[str, Any], tmp_path: Path, tokenizer_json: Path
) -> None:
    model = build(ModelSettings(**{**SIZES, **changes}).resolve(VOCABULARY))
    randomise(model)
    folder.save(model, tmp_path / "one", tokenizer_json)
    assert json.loads((tmp_path / "one/config.json").read_text())["model_type"] == "penstock"
    again = folder.load_model(tmp_path / "one")
    assert type(again) is type(model) and again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    folder.save(again, tmp_path / "two", tokenizer_json)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_our_own_layout_names_fields_that_it_does_not_know(
    tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(decoder(export="own"), tmp_path, tokenizer_json)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "experts": 8}))
    with pytest.raises(BadInput, match=r"config\.json: experts is no field"):
        folder.load_model(tmp_path)


def test_what_needs_a_decoder_refuses_an_encoder(tmp_path: Path, tokenizer_json: Path) -> None:
    model = build(ModelSettings(**{**SIZES, "architecture": "encoder"}).resolve(VOCABULARY))
    randomise(model)
    folder.save(model, tmp_path, tokenizer_json)
    with pytest.raises(BadInput, match="holds an encoder"):
        folder.load(tmp_path)


def test_a_model_that_must_be_exported_and_fits_no_layout_is_not_saved(
    tmp_path: Path, tokenizer_json: Path
) -> None:
    config = dataclasses.replace(decoder().config, logit_soft_cap=30.0)
    with pytest.raises(ValueError, match=r"layout qwen3 has no logit_soft_cap 30\.0"):
        folder.save(Decoder(config), tmp_path / "model", tokenizer_json)
    assert not (tmp_path / "model").exists()
