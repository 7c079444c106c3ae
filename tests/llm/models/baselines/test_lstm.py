"""The LSTM against the cell's formula, against torch.nn.LSTM, and what gradients reach."""

from typing import Any

import pytest
import torch

from llm.models.baselines.config import LSTMSettings
from llm.models.baselines.lstm import LSTM

VOCABULARY = 23


def made(compute_dtype: torch.dtype = torch.float32, **changes: Any) -> LSTM:
    settings = LSTMSettings(**{"layers": 2, "d_model": 12, **changes})
    model = LSTM(settings.resolve(VOCABULARY), compute_dtype)
    model.initialise(1)
    with torch.no_grad():
        model.embedding.mul_(30)
    return model


def rows(length: int = 9, batch: int = 3) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(2))


def test_logits_are_those_of_the_cells_formula_step_by_step() -> None:
    model, tokens = made(layers=1, bptt=4), rows()
    core, width = model.core, 12
    h, c = torch.zeros(3, width), torch.zeros(3, width)
    for place in range(tokens.shape[1]):
        gates = model.embedding[tokens[:, place]] @ core.weight_ih_l0.T + core.bias_ih_l0
        gates = gates + h @ core.weight_hh_l0.T + core.bias_hh_l0
        i, f, g, o = gates.split(width, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        torch.testing.assert_close(model(tokens)[:, place], h @ model.embedding.T)


def test_states_and_gradients_are_those_of_torch_nn_lstm() -> None:
    model, tokens = made(bptt=100), rows()
    ours = model.hidden_states(tokens)
    theirs, _ = model.core(model.embedding[tokens])
    torch.testing.assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad(x.square().sum(), list(model.parameters())) for x in (ours, theirs)
    ]
    for our, their in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their)


def test_later_tokens_change_nothing_and_earlier_ones_do() -> None:
    model, tokens = made(bptt=4), rows()
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % VOCABULARY
    same = (model(tokens) == model(changed)).all(-1).all(0)
    assert same.tolist() == [True] * 5 + [False] * 4


def test_the_state_goes_on_where_gradients_stop() -> None:
    tokens = rows(length=9, batch=1)
    for bptt, reached in ((3, range(6, 9)), (4, range(8, 9)), (100, range(9))):
        model = made(bptt=bptt)
        x = model.embedding[tokens].detach().requires_grad_()
        output = model.mix(x)
        (gradient,) = torch.autograd.grad(output[:, -1].sum(), x)
        assert torch.nonzero(gradient.abs().sum(-1)[0])[:, 0].tolist() == list(reached)
        torch.testing.assert_close(output, made(bptt=100).mix(x))


def test_segments_are_read_as_if_they_stood_alone() -> None:
    model, tokens = made(bptt=3), rows(length=8, batch=2)
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 2, 2]])
    whole = model(tokens, segments)
    for row, first, last in ((0, 0, 3), (0, 3, 8), (1, 0, 6), (1, 6, 8)):
        alone = model(tokens[row : row + 1, first:last])
        torch.testing.assert_close(whole[row : row + 1, first:last], alone)


def test_the_loss_is_cross_entropy_over_the_targets_that_count() -> None:
    model, tokens = made(), rows()
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    expected = torch.nn.functional.cross_entropy(
        model(tokens).flatten(0, 1), targets.flatten(), reduction="sum"
    )
    torch.testing.assert_close(model.loss(tokens, targets), expected)
    states = model.hidden_states(tokens).flatten(0, 1)
    torch.testing.assert_close(model.row_losses(states, targets.flatten()).sum(), expected)


def test_dropout_hides_only_in_training() -> None:
    model, tokens = made(dropout=0.5), rows()
    torch.manual_seed(0)
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize("grad", [True, False])
def test_bf16_activations_are_near_float32(grad: bool) -> None:
    tokens = rows()
    with torch.set_grad_enabled(grad):
        low, full = (made(dtype)(tokens) for dtype in (torch.bfloat16, torch.float32))
    torch.testing.assert_close(low, full, rtol=0.05, atol=0.05)
