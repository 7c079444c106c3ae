"""The sliced loss against torch's cross_entropy on all logits at once."""

import pytest
import torch
from torch.nn import functional as F

from llm.models import loss


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(70, 24, generator=generator)
    weight = torch.randn(50, 24, generator=generator)
    targets = torch.randint(50, (70,), generator=generator)
    targets[5:11] = -100
    return x.requires_grad_(), weight.requires_grad_(), targets


def cut_up(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Slices of `rows` rows of logits over 50 words, swept 5 at a time."""
    monkeypatch.setattr(loss, "SLICE_ELEMENTS", rows * 50)
    monkeypatch.setattr(loss, "SWEEP_ELEMENTS", 5 * 50)
    monkeypatch.setattr(loss, "PRODUCT_ELEMENTS", 7 * 50)


@pytest.mark.parametrize("rows", [128, 16])  # one slice; five, the last not full
def test_loss_and_gradients_equal_cross_entropy(
    problem: tuple[torch.Tensor, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_up(monkeypatch, rows)
    x, weight, targets = problem
    expected = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    found = loss.summed_loss(x, weight, targets)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected / 7, (x, weight))
    torch.testing.assert_close(torch.autograd.grad(found / 7, (x, weight)), wanted)


def test_token_losses_equal_cross_entropy_row_by_row(problem: tuple[torch.Tensor, ...]) -> None:
    x, weight, targets = problem
    expected = F.cross_entropy(x @ weight.T, targets, reduction="none")
    torch.testing.assert_close(loss.token_losses(x, weight, targets), expected.detach())


def test_a_batch_without_targets_has_no_loss_and_no_gradient(
    problem: tuple[torch.Tensor, ...],
) -> None:
    x, weight, targets = problem
    found = loss.summed_loss(x, weight, torch.full_like(targets, -100))
    assert found.item() == 0
    for gradient in torch.autograd.grad(found, (x, weight)):
        assert not gradient.any()


def test_bfloat16_activations_give_float32_sums_near_the_exact_ones(
    problem: tuple[torch.Tensor, ...],
) -> None:
    x, weight, targets = problem
    low = x.detach().bfloat16().requires_grad_()
    found = loss.summed_loss(low, weight, targets)
    expected = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=0.01)
    (gradient,) = torch.autograd.grad(found, weight)
    (wanted,) = torch.autograd.grad(expected, weight)
    assert gradient.dtype == torch.float32
    assert (gradient - wanted).norm() < 0.01 * wanted.norm()


@pytest.mark.parametrize("vocabulary", [4096, 32_768, 262_144])
def test_all_logits_are_never_held_at_once(vocabulary: int) -> None:
    tokens = 65_536
    slices = list(loss.slices(tokens, vocabulary, loss.SLICE_ELEMENTS))
    assert [row for rows in slices for row in range(tokens)[rows]] == list(range(tokens))
    assert max(len(range(tokens)[rows]) for rows in slices) * vocabulary <= loss.SLICE_ELEMENTS
    assert tokens * vocabulary // 8 >= loss.SLICE_ELEMENTS


@pytest.mark.parametrize("rows", [128, 16])
@pytest.mark.parametrize("soft_cap", [None, 3.0])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_bias_soft_cap_and_z_loss_have_the_gradients_of_the_formula_written_out(
    problem: tuple[torch.Tensor, ...],
    rows: int,
    soft_cap: float | None,
    biased: bool,
    z_loss: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_up(monkeypatch, rows)
    x, weight, targets = problem
    bias = torch.linspace(-1, 1, 50, requires_grad=True) if biased else None
    logits = x @ weight.T
    logits = logits if bias is None else logits + bias
    logits = logits if soft_cap is None else soft_cap * torch.tanh(logits / soft_cap)
    entropy = F.cross_entropy(logits, targets, reduction="sum")
    squares = (logits.logsumexp(-1).square() * (targets != -100)).sum()
    learned = [x, weight] if bias is None else [x, weight, bias]
    found = loss.summed_loss(x, weight, targets, -100, bias, soft_cap, z_loss)
    torch.testing.assert_close(found, entropy)  # the value leaves the z-loss out
    torch.testing.assert_close(
        torch.autograd.grad(found, learned),
        torch.autograd.grad(entropy + z_loss * squares, learned),
        atol=1e-5,
        rtol=1e-4,
    )
    with torch.no_grad():
        each = loss.token_losses(x, weight, targets, -100, bias, soft_cap)
        torch.testing.assert_close(each, F.cross_entropy(logits, targets, reduction="none"))


def test_only_rows_with_a_target_go_through_the_head(problem: tuple[torch.Tensor, ...]) -> None:
    x, weight, targets = problem
    some, wanted = loss.counted_rows(x, targets)
    assert (len(some), len(wanted)) == (64, 64)
    whole = loss.summed_loss(x, weight, targets)
    found = loss.summed_loss(some, weight, wanted)
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, weight)), torch.autograd.grad(whole, (x, weight))
    )
