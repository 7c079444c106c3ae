"""Layers as one function of autograd where texts share rows, drop out, or are asked for a few places."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm.models import head_attention
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.fused_block import fused, sublayers_of
from llm.models.kernels import availability, operations
from llm.models.kernels.choices import Drop
from llm.models.spans import Spans

VOCABULARY = 50
# The last row holds padding in the middle of nothing: between texts, and at its end.
SEGMENTS = torch.tensor([[1] * 20, [1] * 3 + [2] * 9 + [3] * 8, [1] * 7 + [0] * 2 + [2] + [0] * 10])
CASES: dict[str, dict[str, Any]] = {
    "bert": {"preset": "bert"},
    "pre-norm encoder": {"preset": "qwen3", "architecture": "encoder", "kv_heads": 1},
    "gpt2": {"preset": "gpt2"},
    "qwen3": {"preset": "qwen3", "kv_heads": 2},
    "post-norm decoder": {"preset": "gpt2", "norm_position": "post"},
    "bart": {"preset": "bart"},
    "pre-norm encoder-decoder": {"preset": "qwen3", "architecture": "encoder_decoder"},
}


def model_of(name: str, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    values = {"layers": 2, "d_model": 48, "heads": 4, "context_length": 20, **CASES[name]}
    model = build(ModelSettings(**{"dropout": 0.0, **values, **more}).resolve(VOCABULARY), dtype)
    model.initialise(0)
    with torch.no_grad():  # no matrix of zeros, no norm of ones
        for number, parameter in enumerate(model.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter += 0.1 * noise
    return model


def passes(model: Any, segments: Tensor | None) -> tuple[float, list[Tensor]]:
    generator = torch.Generator().manual_seed(7)
    tokens, targets = torch.randint(0, VOCABULARY, (2, 3, 20), generator=generator)
    targets[torch.rand(3, 20, generator=generator) < 0.7] = -100
    if segments is not None:
        targets[segments == 0] = -100
    given = {"segments": segments}
    if hasattr(model, "source_blocks"):
        given |= {"sources": tokens.flip(1), "source_segments": segments}
    if getattr(model, "next_sentence", None) is not None:
        given["pairs"] = torch.tensor([0, 1, -100])
        given["pair_weight"] = 1.5  # type: ignore[assignment]
    model.zero_grad(set_to_none=True)
    loss = model.loss(tokens, targets, **given)
    loss.backward()
    return float(loss.detach()), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_those_of_plain_operations(
    name: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, segments = model_of(name), SEGMENTS if packed else None
    monkeypatch.setattr(head_attention, "PIECE", 4096)  # some spans at a time
    loss, gradients = passes(model, segments)
    monkeypatch.setattr(availability, "installed", lambda: False)
    expected_loss, expected = passes(model, segments)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    largest = max(float(one.abs().max()) for one in expected)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-6 * largest)


@pytest.mark.parametrize("name", ["bert", "bart"])
def test_in_bfloat16_it_errs_no_more_than_plain_operations(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, exact = passes(model_of(name), SEGMENTS)
    scale = max(float(other.norm()) for other in exact)

    def error() -> float:
        _, gradients = passes(model_of(name, torch.bfloat16), SEGMENTS)
        pairs = zip(gradients, exact, strict=True)
        return sum(
            float((one - other).norm() / (other.norm() + 1e-3 * scale)) for one, other in pairs
        )

    found = error()
    monkeypatch.setattr(availability, "installed", lambda: False)
    assert found < 1.1 * error()


def test_a_text_never_sees_its_neighbours() -> None:
    model = model_of("bert", dropout=0.0)
    tokens = torch.randint(1, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(3))
    before = model.hidden_states(tokens, SEGMENTS)
    tokens[1, 3:12] = 7  # the second text of the second row
    after = model.hidden_states(tokens, SEGMENTS)
    changed = (before != after).any(-1)
    assert changed[1, 3:12].all() and int(changed.sum()) == 9
    assert before.isfinite().all()


def by_hand(model: Any, x: Tensor, seed: int, spans: Spans, wanted: Tensor | None) -> Tensor:
    """A post-norm layer with dropout in plain operations, with the choices that `seed` gives."""
    block, share = model.blocks[0], model.config.dropout
    torch.manual_seed(seed)
    first, second = sublayers_of(block, spans, None, wanted)
    attention, rows = block.attention, x.flatten(0, 1)
    packed = torch.cat([F.linear(rows, one.weight, one.bias) for one in
                        (attention.query, attention.key, attention.value)], -1)  # fmt: skip
    _, seen = head_attention.attend(packed.detach(), first.heads, spans, None, first.weights_drop)
    out = torch.zeros_like(rows)
    for group in seen.groups:
        for at, places in enumerate(group.piece.places):  # type: ignore[arg-type]
            inside = places[places >= 0]
            q, k, v = packed[inside].view(len(inside), 3, 4, 12).permute(1, 2, 0, 3)
            kept = group.weights[0].view(-1, 4, len(places), len(places))[at] > 0
            kept = kept[:, : len(inside), : len(inside)]
            weights = torch.softmax(q @ k.transpose(1, 2) * 12**-0.5, dim=-1) * kept / (1 - share)
            out = out.index_put((inside,), (weights @ v).transpose(0, 1).flatten(1))
    assert first.drop is not None and second.drop is not None
    masks = [operations.drop(torch.ones_like(rows), one.drop) for one in (first, second)]
    if wanted is not None:
        rows, out, masks = rows[wanted], out[wanted], [one[wanted] for one in masks]

    def norm(y: Tensor, of: Any) -> Tensor:
        return F.layer_norm(y, (48,), of.weight, of.bias, of.epsilon)

    new = F.linear(out, attention.output.weight, attention.output.bias)
    rows = norm(rows + new * masks[0], block.attention_norm)
    up, down = block.feed_forward.up, block.feed_forward.down
    new = F.linear(F.gelu(F.linear(rows, up.weight, up.bias)), down.weight, down.bias)
    return norm(rows + new * masks[1], block.feed_forward_norm)


@pytest.mark.parametrize("wanted", [None, torch.tensor([0, 5, 22, 31, 49])])
def test_dropout_is_that_of_the_formula(wanted: Tensor | None) -> None:
    model = model_of("bert", dropout=0.3)
    spans = Spans.of_segments(SEGMENTS, causal=False)
    assert spans is not None
    x = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(5)).requires_grad_()
    expected = by_hand(model, x, 11, spans, wanted)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(6))
    expected.backward(slope)
    gradients = [x.grad, *(one.grad for one in model.blocks[0].parameters())]
    x.grad = None
    model.zero_grad(set_to_none=True)
    torch.manual_seed(11)
    found = fused(x, sublayers_of(model.blocks[0], spans, None, wanted))
    found.backward(slope.view_as(found))
    torch.testing.assert_close(found.flatten(0, -2), expected, rtol=1e-5, atol=1e-5)
    made = [x.grad, *(one.grad for one in model.blocks[0].parameters())]
    for one, other in zip(made, gradients, strict=True):
        assert one is not None and other is not None
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


def test_the_same_seed_drops_the_same_whatever_is_asked_for() -> None:
    model = model_of("bert", dropout=0.2)
    tokens = torch.randint(1, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    whole = model.hidden_states(tokens, SEGMENTS)
    torch.manual_seed(4)
    wanted = torch.tensor([1, 30, 46])
    some = model.hidden_states(tokens, SEGMENTS, wanted=wanted)
    torch.testing.assert_close(some, whole.flatten(0, 1)[wanted], rtol=1e-5, atol=1e-5)
    torch.manual_seed(5)
    assert not torch.equal(whole, model.hidden_states(tokens, SEGMENTS))
    assert torch.equal(model.eval()(tokens, SEGMENTS), model(tokens, SEGMENTS))


def test_spans_are_the_texts_and_take_no_more_than_their_squares() -> None:
    spans = Spans.of_segments(SEGMENTS, causal=False)
    assert spans is not None and not spans.whole
    found = {
        tuple(row[row >= 0].tolist())
        for _, places, _ in spans.groups
        for row in places  # type: ignore[union-attr]
    }
    numbers = SEGMENTS.flatten()
    owner = torch.arange(3).repeat_interleave(20)
    expected = {
        tuple(((owner == row) & (numbers == segment)).nonzero()[:, 0].tolist())
        for row in range(3)
        for segment in range(1, 4)
    }
    assert found == expected - {()}
    work = sum(places.numel() * length for length, places, _ in spans.groups)  # type: ignore[union-attr]
    squares = sum(len(one) ** 2 for one in found)
    assert squares <= work <= 1.3 * squares
    # A text in two pieces is seen as one by a mask, and by no span.
    assert Spans.of_segments(torch.tensor([[1, 2, 1]]), causal=False) is None
    assert Spans.of_segments(torch.ones(1, 600, dtype=torch.long), causal=False) is None


def test_choices_need_a_share() -> None:
    torch.manual_seed(0)
    assert Drop.drawn(0.0) is None
    one, other = Drop.drawn(0.5), Drop.drawn(0.5)
    assert one is not None and other is not None and one.seed != other.seed
