"""Compiled passes give what plain ones give, in one graph, and leave the model as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from llm.models import attention
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.training.ways.compiling import as_it_was, compile_model

KINDS = {
    "gpt2": {"preset": "gpt2"},
    "qwen3": {"preset": "qwen3", "kv_heads": 1, "heads": 2, "window": 8, "full_attention_every": 2},
    "bert": {"preset": "bert", "dropout": 0.0},
}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.compile without a compiler for the processor; what it was asked to compile.

    Nothing may break the graph: on a GPU each break is a trip to Python. Attention is PyTorch's
    there, so the processor's own way is left out.
    """
    real, asked = torch.compile, []

    def compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        asked.append(function.__qualname__)
        return real(function, backend="aot_eager", fullgraph=True, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(attention, "LONGEST", 0)
    torch.compiler.reset()
    return asked


def made(kind: str) -> Any:
    settings: Any = {"layers": 2, "d_model": 32, "context_length": 16, **KINDS[kind]}
    model = build(ModelSettings(**settings).resolve(50))
    model.initialise(3)
    with torch.no_grad():
        for parameter in model.parameters():  # what starts at zero too
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator()), alpha=0.02)
    return model


def gradients(model: Any) -> list[Tensor]:
    """Of the loss of random rows, some targets of which do not count; the loss comes first."""
    random = torch.Generator().manual_seed(1)
    tokens, targets = (torch.randint(0, 50, (3, 16), generator=random) for _ in range(2))
    targets[:, ::3] = -100
    model.zero_grad()
    segments: Any = None if model.config.architecture == "decoder" else torch.ones_like(tokens)
    loss = model.loss(tokens, targets, segments)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("by_block", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradients_are_those_of_plain_passes(
    kind: str, by_block: bool, graphs: list[str]
) -> None:
    model = made(kind)
    expected = gradients(model)
    compile_model(model, by_block)
    found = gradients(model)
    assert graphs == (
        ["Block.forward"] * 2 if by_block else [f"{type(model).__name__}.hidden_states"]
    )
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    as_it_was(model)
    assert not model.fused_loss
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), expected, strict=True))


@pytest.mark.slow
def test_the_compiler_of_the_processor_gives_the_same_too() -> None:
    model = made("gpt2")
    expected = gradients(model)
    compile_model(model)
    for ours, plain in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    as_it_was(model)


def test_dropout_of_a_compiled_model_hangs_on_the_seed(graphs: list[str]) -> None:
    config = ModelSettings(preset="gpt2", layers=2, d_model=32, context_length=16, dropout=0.3)
    model = build(config.resolve(50))
    model.initialise(3)
    compile_model(model.train())
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(gradients(model)[0]))
    assert losses[0] == losses[1] != losses[2]
