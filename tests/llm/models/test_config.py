"""Which shapes a recipe may ask for, what is derived, and what it adds up to."""

import dataclasses
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForPreTraining,
    BertConfig,
    GPT2Config,
    LlamaConfig,
)

from llm.models.build import build
from llm.models.config import ModelConfig, ModelSettings
from llm.models.decoder import Decoder
from llm.models.layouts.choose import layout_of, misfit
from llm.models.presets import PRESETS


def test_what_is_left_out_is_derived_from_the_width() -> None:
    config = ModelSettings(d_model=192, layers=3).resolve(vocabulary=1000)
    assert (config.heads, config.kv_heads, config.head_dim, config.hidden) == (3, 3, 64, 512)
    narrow = ModelSettings(d_model=48).resolve(vocabulary=1000)
    assert (narrow.heads, narrow.head_dim) == (1, 48)
    assert ModelSettings(d_model=256, head_dim=32).resolve(10).heads == 8


@pytest.mark.parametrize(
    "values, named",
    [
        ({"d_model": 100, "heads": 3}, "d_model 100 is not a multiple of heads 3"),
        ({"d_model": 27, "heads": 3}, "even head_dim"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads 3 does not divide heads 4; allowed: 1, 2, 4"),
    ],
)
def test_impossible_shapes_are_refused_with_the_fix(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ModelSettings(**values)


@pytest.mark.parametrize("tie", [True, False])
def test_matrix_parameters_are_those_of_the_model(tie: bool) -> None:
    settings = ModelSettings(layers=2, d_model=64, heads=4, kv_heads=2, tie_embeddings=tie)
    config = settings.resolve(vocabulary=100)
    model = Decoder(config)
    matrices = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and (tie or name != "embedding")
    )
    assert config.matrix_parameters == matrices
    # PaLM, appendix B: 6N + 12 L H Q T without a causal mask; the mask halves the second part.
    full = 12 * config.layers * config.heads * config.head_dim * 256
    assert config.training_flops_per_token(256) == 6 * matrices + full // 2


def test_a_configuration_survives_being_written_down() -> None:
    config = ModelSettings().resolve(vocabulary=100)
    assert type(config)(**dataclasses.asdict(config)) == config


def test_the_default_is_qwen3s_architecture_as_it_ever_was() -> None:
    assert ModelSettings().resolve(vocabulary=100) == ModelConfig(
        vocabulary=100,
        layers=4,
        d_model=256,
        heads=4,
        kv_heads=4,
        head_dim=64,
        hidden=704,
        context_length=256,
        rope_theta=10_000.0,
        norm_epsilon=1e-6,
        tie_embeddings=True,
        qk_norm=True,
        export="qwen3",
    )


def on_meta(config: ModelConfig) -> torch.nn.Module:
    with torch.device("meta"):
        return build(config)


def counted(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def theirs(make: Any, config: Any) -> int:
    with torch.device("meta"):
        return counted(make.from_config(config))


def llama(layers: int, width: int, heads: int, hidden: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=32_000,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=hidden,
        tie_word_embeddings=False,
    )


def test_gpt2_small_and_bert_base_have_the_published_sizes() -> None:
    gpt2 = ModelSettings(preset="gpt2-small").resolve(vocabulary=50_257)
    assert gpt2.parameters == counted(on_meta(gpt2)) == 124_439_808
    assert theirs(AutoModelForCausalLM, GPT2Config()) == 124_439_808
    bert = ModelSettings(preset="bert-base").resolve(vocabulary=30_522)
    heads = theirs(AutoModelForPreTraining, BertConfig()) - theirs(AutoModel, BertConfig())
    assert bert.parameters == counted(on_meta(bert)) == 109_482_240 + heads
    assert theirs(AutoModel, BertConfig()) == 109_482_240


@pytest.mark.parametrize(
    "preset, like, about",
    [
        ("llama-60m", llama(8, 512, 8, 1408), 60e6),
        ("llama-350m", llama(24, 1024, 16, 2752), 350e6),
        ("llama-1b", llama(24, 2048, 32, 5504), 1.3e9),
    ],
)
def test_llama_presets_are_of_their_size(preset: Any, like: LlamaConfig, about: float) -> None:
    config = ModelSettings(preset=preset).resolve(vocabulary=32_000)
    assert config.parameters == theirs(AutoModelForCausalLM, like)
    assert config.parameters == pytest.approx(about, rel=0.06)


def test_nanogpt_tiny_is_nanogpts_setting() -> None:
    config = ModelSettings(preset="nanogpt-tiny").resolve(vocabulary=65)
    # nanoGPT prints 0.80M: all but the positions; four layers of 12 d^2, norms, embeddings.
    assert config.parameters - 64 * 128 == 4 * (12 * 128**2 + 2 * 128) + 65 * 128 + 128
    assert (config.bias, config.feed_forward, config.hidden) == (False, "gelu", 512)


def test_fields_go_before_the_preset() -> None:
    settings = ModelSettings(preset="gpt2-small", layers=2, positions="rope", bias=False)
    assert (settings.layers, settings.d_model, settings.bias) == (2, 768, False)
    assert settings.norm == "layernorm"
    decoder = ModelSettings(preset="bert", architecture="decoder")
    assert (decoder.token_types, decoder.next_sentence, decoder.norm_position) == (0, False, "post")
    again = ModelSettings(**dataclasses.asdict(decoder))
    assert again == decoder and again.resolve(9) == decoder.resolve(9)


SHAPES: list[dict[str, Any]] = [
    *({"preset": preset, "layers": 2, "d_model": 64, "heads": 4} for preset in PRESETS),
    {"architecture": "encoder", "kv_heads": 1},
    {"architecture": "encoder", "next_sentence": True, "token_types": 3, "head_transform": True},
    {"architecture": "encoder_decoder", "kv_heads": 2},
    {"architecture": "encoder_decoder", "preset": "gpt2", "tie_embeddings": False},
    {"architecture": "encoder_decoder", "preset": "bert", "qk_norm": True},
    {"preset": "llama", "bias": True, "feed_forward": "swiglu", "norm": "layernorm"},
    {"feed_forward": "relu2", "norm_position": "post", "tie_embeddings": False},
]


@pytest.mark.parametrize("values", SHAPES)
def test_parameters_are_counted_to_the_last_one(values: dict[str, Any]) -> None:
    settings = ModelSettings(**{"layers": 3, "d_model": 64, "heads": 4, **values})
    config = settings.resolve(vocabulary=100)
    model = on_meta(config)
    assert config.parameters == counted(model)
    lookups = {"positions", "source_positions", "types"} | (
        set() if config.tie_embeddings else {"embedding"}
    )
    per_row = ("next_sentence.pooler.weight", "next_sentence.classifier.weight")
    matrices = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and name not in lookups and not name.startswith(per_row)
    )
    assert config.matrix_parameters == matrices


def test_attention_flops_are_those_of_the_keys_that_tokens_see() -> None:
    base: dict[str, Any] = {"layers": 6, "d_model": 64, "heads": 4}

    def attention(length: int, **changes: Any) -> float:
        config = ModelSettings(**{**base, **changes}).resolve(vocabulary=100)
        matrices = 6 * config.matrix_parameters
        return (config.training_flops_per_token(length) - matrices) / (12 * 4 * 16)

    def by_hand(length: int, window: int, causal: bool) -> float:
        places = torch.arange(length, dtype=torch.float64)
        before = (places + 1).clamp(max=window)
        after = (length - 1 - places).clamp(max=window - 1)
        return float((before if causal else before + after).mean())

    assert attention(512) == 6 * 256
    assert attention(512, architecture="encoder") == 6 * 512
    # Whole keys are counted as half ones at the diagonal: off by at most one key a layer.
    assert attention(512, window=64) == pytest.approx(6 * by_hand(512, 64, True), abs=6)
    two_full = attention(512, window=64, full_attention_every=3)
    assert two_full == pytest.approx(4 * by_hand(512, 64, True) + 2 * 256, abs=6)
    both = attention(512, window=64, architecture="encoder")
    assert both == pytest.approx(6 * by_hand(512, 64, False), abs=6)


def test_an_encoder_decoders_flops_are_those_of_both_sides() -> None:
    config = ModelSettings(
        architecture="encoder_decoder", layers=3, d_model=64, heads=4, kv_heads=2
    ).resolve(vocabulary=100)
    pair = 12 * 4 * 16  # forward and backward for a query and a key, all heads of a layer
    # Everything is done once a token when both sides are equally long: three attentions a layer.
    equal = 6 * config.matrix_parameters + 3 * pair * (64 + 64 + 64 / 2)
    assert config.training_flops_per_token(64) == equal
    block = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * config.hidden
    keys_values = 2 * 64 * 32
    source = 3 * (6 * (block + keys_values) + pair * 128)  # one source token
    target = 3 * (6 * (block + 2 * 64 * 64) + pair * (16 + 128)) + 6 * 100 * 64
    assert config.training_flops_per_token(32, source_length=128) == target + 4 * source


def test_only_scored_tokens_go_through_the_head_and_the_end_of_the_last_layer() -> None:
    config = ModelSettings(preset="bert", d_model=64).resolve(vocabulary=100)
    head = 100 * 64 + 64 * 64
    behind_attention = 64 * 64 + 2 * 64 * config.hidden
    whole, some = (config.training_flops_per_token(32, scored=share) for share in (1.0, 0.25))
    assert whole - some == round(6 * 0.75 * (head + behind_attention))


@pytest.mark.parametrize(
    "values, layout",
    [
        ({}, "qwen3"),
        ({"window": 8, "full_attention_every": 2}, "qwen3"),
        ({"preset": "llama", "bias": True}, "llama"),
        ({"preset": "llama", "window": 8}, "mistral"),
        ({"preset": "nanogpt-tiny"}, "gpt2"),
        ({"preset": "gpt2", "feed_forward": "relu2"}, "gpt2"),
        ({"preset": "bert", "next_sentence": False}, "bert"),
        ({"preset": "bart"}, "bart"),
        ({"preset": "bart", "norm_position": "pre"}, "blenderbot"),
    ],
)
def test_what_fits_a_layout_of_transformers_is_exported_in_it(
    values: dict[str, Any], layout: str
) -> None:
    config = ModelSettings(**values).resolve(vocabulary=100)
    assert (layout_of(config), misfit(config), config.export) == (layout, None, layout)
    assert ModelSettings(**values, export="own").resolve(vocabulary=100).export == "penstock"


@pytest.mark.parametrize(
    "values, field",
    [
        ({"architecture": "encoder_decoder"}, "norm"),
        ({"architecture": "encoder"}, "norm"),
        ({"logit_soft_cap": 30.0}, "logit_soft_cap"),
        ({"feed_forward": "relu2"}, "feed_forward"),
        ({"bias": True}, "bias"),
        ({"preset": "llama", "window": 8, "full_attention_every": 2}, "qk_norm"),
        ({"preset": "gpt2", "kv_heads": 1}, "kv_heads"),
        ({"preset": "gpt2", "head_dim": 16, "heads": 2}, "head_dim"),
        ({"preset": "gpt2", "positions": "rope"}, "positions"),
        ({"preset": "bert", "token_types": 0}, "token_types"),
        ({"preset": "bert", "norm_position": "pre"}, "norm_position"),
    ],
)
def test_what_fits_none_is_our_own_and_the_field_is_named_when_it_must_fit(
    values: dict[str, Any], field: str
) -> None:
    config = ModelSettings(**values).resolve(vocabulary=100)
    assert (layout_of(config), misfit(config), config.export) == (None, field, "penstock")
    with pytest.raises(ValueError, match=f"export hf, but no layout of transformers has {field} "):
        ModelSettings(**values, export="hf")


def test_a_layout_can_be_asked_for_by_name() -> None:
    assert ModelSettings(export="qwen3").export == "qwen3"
    with pytest.raises(ValueError, match="export gpt2, but that layout has no norm 'rmsnorm'"):
        ModelSettings(export="gpt2")
    with pytest.raises(ValueError, match="export 'qwen' is none of hf, own, qwen3, llama"):
        ModelSettings(export="qwen")


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"preset 'gpt2-smal' is none of .*did you mean gpt2"):
        ModelSettings(preset="gpt2-smal")


@pytest.mark.parametrize(
    "values, named",
    [
        ({"token_types": 2}, "token_types is 2, but the architecture is decoder"),
        ({"architecture": "encoder_decoder", "next_sentence": True}, "next_sentence is True"),
        ({"full_attention_every": 2}, "full_attention_every 2 needs a window"),
    ],
)
def test_fields_that_say_nothing_together_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ModelSettings(**values)
