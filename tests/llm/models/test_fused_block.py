"""A layer as one function of autograd against the same layer in plain operations."""

from typing import Any

import pytest
import torch

from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.fused_block import _FusedBlock
from llm.models.gradient_places import add_in_place
from llm.models.kernels import availability

CASES: dict[str, dict[str, Any]] = {
    "qwen3": {"preset": "qwen3"},
    "one head of keys": {"preset": "qwen3", "kv_heads": 1},
    "gpt2": {"preset": "gpt2"},
    "nanogpt": {"preset": "nanogpt-tiny"},
    "llama": {"preset": "llama-60m"},
    "relu2": {"preset": "qwen3", "feed_forward": "relu2"},
}
LENGTHS = [1, 63, 64, 130]  # one, nearly and exactly a block, two and a bit


def model_of(name: str, length: int, dtype: torch.dtype = torch.float32) -> Any:
    settings = ModelSettings(
        **{"layers": 2, "d_model": 48, "heads": 4, "context_length": length, **CASES[name]}
    )
    model = build(settings.resolve(50), dtype)
    model.initialise(0)
    with torch.no_grad():  # no matrix of zeros, no norm of ones
        for number, parameter in enumerate(model.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter += 0.1 * noise
    return model


def passes(model: Any, length: int) -> tuple[float, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(7)
    tokens, targets = torch.randint(0, 50, (2, 3, length), generator=generator)
    loss = model.loss(tokens, targets)
    loss.backward()
    return float(loss.detach()), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_those_of_plain_operations(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(name, length)
    calls = []
    real = _FusedBlock.forward
    monkeypatch.setattr(
        _FusedBlock, "forward", staticmethod(lambda *given: (calls.append(1), real(*given))[1])
    )
    loss, gradients = passes(model, length)
    assert len(calls) == 2
    model.zero_grad(set_to_none=True)
    monkeypatch.setattr(availability, "installed", lambda: False)
    expected_loss, expected = passes(model, length)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    # Some gradients are zero but for rounding: of keys' biases, which shift all scores of a query.
    largest = max(float(one.abs().max()) for one in expected)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * largest)


def test_in_bfloat16_it_errs_no_more_than_plain_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    _, exact = passes(model_of("qwen3", 64), 64)

    def error() -> float:
        _, gradients = passes(model_of("qwen3", 64, torch.bfloat16), 64)
        pairs = zip(gradients, exact, strict=True)
        return sum(float((one - other).norm() / other.norm()) for one, other in pairs)

    fused = error()
    monkeypatch.setattr(availability, "installed", lambda: False)
    assert fused < 1.1 * error()


@pytest.mark.parametrize("name", CASES)
def test_gradients_added_in_place_are_autograds_and_add_up(name: str) -> None:
    model = model_of(name, 64)
    _, expected = passes(model, 64)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    places = [parameter.grad for parameter in model.parameters()]
    add_in_place(model.parameters())
    passes(model, 64)
    _, twice = passes(model, 64)
    for place, parameter, found, wanted in zip(
        places, model.parameters(), twice, expected, strict=True
    ):
        assert parameter.grad is place
        torch.testing.assert_close(found, 1 + 2 * wanted, rtol=1e-4, atol=1e-4)
    add_in_place(model.parameters(), wanted=False)
    model.zero_grad(set_to_none=True)
    _, again = passes(model, 64)
    torch.testing.assert_close(again, expected)


def test_a_loss_that_is_scaled_cannot_be_added_in_place() -> None:
    model = model_of("qwen3", 8)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    (2 * model.loss(tokens, tokens)).backward()
    add_in_place(model.parameters())
    with pytest.raises(RuntimeError, match=r"multiplied by 2\.0"):
        (2 * model.loss(tokens, tokens)).backward()


def test_other_modules_and_hooks_are_met() -> None:
    model, other = model_of("qwen3", 8), model_of("qwen3", 8)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    before = float(model.loss(tokens, tokens).detach())
    up = other.blocks[0].feed_forward.up
    with torch.no_grad():
        up.weight.mul_(2)
    model.blocks[0].feed_forward.up = up
    loss = model.loss(tokens, tokens)
    loss.backward()
    assert up.weight.grad is not None and float(loss.detach()) != before
    with torch.no_grad():
        assert float(loss.detach()) == pytest.approx(float(model.loss(tokens, tokens)), rel=1e-6)

    seen: list[torch.Tensor] = []
    model.blocks[1].attention.register_forward_hook(lambda *given: seen.append(given[-1]))
    model.loss(tokens, tokens)
    assert len(seen) == 1


def test_frozen_parameters_learn_nothing() -> None:
    model = model_of("qwen3", 8)
    frozen = model.blocks[0].feed_forward.up.weight.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_in_place(model.parameters())
    passes(model, 8)
    assert (frozen.grad == 0).all()
    assert (model.blocks[0].feed_forward.down.weight.grad != 0).any()


@pytest.mark.parametrize("bad", [-1, 50])
def test_a_target_that_is_no_word_is_refused(bad: int) -> None:
    model = model_of("qwen3", 8)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    with pytest.raises(IndexError, match=f"target {bad} is no word of a vocabulary of 50"):
        model.loss(tokens, torch.full((1, 8), bad))
