"""Which shapes a recipe may ask for, and what is derived."""

import dataclasses
from typing import Any

import pytest

from llm.models.config import ModelSettings
from llm.models.decoder import Decoder


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
