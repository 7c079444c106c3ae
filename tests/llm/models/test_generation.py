"""Generation with a cache against running the whole model anew for every token."""

from random import Random
from typing import Any

import pytest
import torch

from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import Request, draw, generate, generate_target
from tests.llm.models.random_weights import randomise


def next_token(logits: torch.Tensor, temperature: float, top_k: int | None, draws: Random) -> int:
    return draw(logits[None], [Request([0], 1, temperature, top_k)], [draws])[0]


@pytest.fixture
def model() -> Decoder:
    settings = ModelSettings(layers=2, d_model=32, heads=4, kv_heads=2, context_length=24)
    decoder = Decoder(settings.resolve(vocabulary=61))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return decoder


def naive(model: Decoder, ids: list[int], count: int, temperature: float, seed: int) -> list[int]:
    generator = Random(seed)
    ids = list(ids)
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([ids]))[0, -1]
        ids.append(next_token(logits, temperature, 20, generator))
    return ids[-count:]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_cached_generation_equals_the_naive_one(model: Decoder, temperature: float) -> None:
    prompt = [5, 9, 2, 40]
    found = list(generate(model, prompt, 20, temperature, top_k=20, seed=7))
    assert found == naive(model, prompt, 20, temperature, seed=7)
    assert len(set(found)) > 1


@pytest.mark.parametrize("cut", [1, 7, 23])
def test_cached_logits_equal_those_of_the_whole_row(model: Decoder, cut: int) -> None:
    tokens = torch.randint(61, (3, 24), generator=torch.Generator().manual_seed(0))
    cache = model.new_cache(batch=3)
    with torch.no_grad():
        parts = [model(tokens[:, :cut], cache=cache), model(tokens[:, cut:], cache=cache)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens))
    assert cache.length == 24


def test_text_goes_on_past_the_context(model: Decoder) -> None:
    found = list(generate(model, [1], 60))
    assert len(found) == 60
    # A prompt longer than the context keeps its end.
    long = list(range(40))
    assert next(generate(model, long, 1)) == next(generate(model, long[-24:], 1))


def test_a_stop_token_ends_the_text_and_is_not_part_of_it(model: Decoder) -> None:
    whole = list(generate(model, [5, 9], 20))
    stop = whole[6]
    assert list(generate(model, [5, 9], 20, stop_ids={stop})) == whole[: whole.index(stop)]


def test_drawn_tokens_follow_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    generator = Random(0)
    drawn = [next_token(logits, 2.0, None, generator) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.softmax(logits / 2, 0), atol=0.02, rtol=0)
    few = {next_token(logits, 2.0, 2, generator) for _ in range(200)}
    assert few == {1, 2}


def test_impossible_settings_are_refused(model: Decoder) -> None:
    for changes in ({"ids": []}, {"temperature": -1.0}, {"top_k": 0}):
        with pytest.raises(ValueError, match=r"prompt is empty|temperature"):
            list(generate(model, **{"ids": [1], "max_new_tokens": 1, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "gpt2"},
        {"window": 5, "full_attention_every": 2},
        {"attention_soft_cap": 2.0, "logit_soft_cap": 5.0},
        {"norm_position": "post", "feed_forward": "relu2", "bias": True},
    ],
)
def test_cached_generation_equals_the_naive_one_for_every_kind_of_block(
    changes: dict[str, Any],
) -> None:
    sizes: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 4, "context_length": 24}
    model = Decoder(ModelSettings(**{**sizes, **changes}).resolve(vocabulary=61))
    randomise(model, scale=0.3)
    found = list(generate(model, [5, 9, 2, 40], 20, 0.8, top_k=20, seed=7))
    assert found == naive(model, [5, 9, 2, 40], 20, 0.8, seed=7)
    assert len(set(found)) > 1


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("changes", [{}, {"preset": "gpt2"}, {"window": 4}])
def test_a_target_written_with_a_cache_equals_the_naive_one(
    changes: dict[str, Any], temperature: float
) -> None:
    sizes: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 4, "context_length": 24}
    settings = ModelSettings(**{**sizes, "architecture": "encoder_decoder", **changes})
    model = EncoderDecoder(settings.resolve(vocabulary=61))
    randomise(model, scale=0.3)
    source = [4, 8, 15, 16, 23, 42]
    found = list(generate_target(model, source, 1, 20, temperature, top_k=20, seed=7))
    generator = Random(7)
    ids = [1]
    for _ in range(20):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), sources=torch.tensor([source]))[0, -1]
        ids.append(next_token(logits, temperature, 20, generator))
    assert found == ids[1:] and len(set(found)) > 1
    stop = found[3]
    cut = list(generate_target(model, source, 1, 20, temperature, 20, 7, stop_ids={stop}))
    assert cut == found[: found.index(stop)]
    assert len(list(generate_target(model, source, 1, 99))) == 24  # the context is full
    with pytest.raises(ValueError, match="the source is empty"):
        list(generate_target(model, [], 1, 5))
