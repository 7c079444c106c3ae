"""The fused head gives torch's cross-entropy and its gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm.models import fused_loss

ROWS, WIDTH, WORDS = 20, 8, 131  # words: no multiple of what the head is padded to


def reference(
    x: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, soft_cap: float | None
) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy, and the sum of the squared logarithm of the softmax's divisor."""
    logits = F.linear(x, weight, bias)
    if soft_cap:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    nats = F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
    return nats, logits.logsumexp(1)[targets != -100].square().sum()


@pytest.mark.parametrize("rows_a_slice", [4, 1 << 10], ids=["five slices", "one slice"])
@pytest.mark.parametrize(
    ("biased", "soft_cap", "z_loss"),
    [(False, None, 0.0), (True, None, 0.0), (False, 3.0, 0.0), (True, 3.0, 0.01)],
)
def test_value_and_gradients_are_torchs(
    biased: bool,
    soft_cap: float | None,
    z_loss: float,
    rows_a_slice: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused_loss, "SLICE_ELEMENTS", rows_a_slice * WORDS)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(ROWS, WIDTH), torch.randn(WORDS, WIDTH), torch.randn(WORDS)
    targets = torch.randint(0, WORDS, (ROWS,))
    targets[::4] = -100
    learned = [x, weight, bias] if biased else [x, weight]
    for one in learned:
        one.requires_grad_()
    shift: Any = bias if biased else None
    nats, squares = reference(x, weight, targets, shift, soft_cap)
    expected = torch.autograd.grad(2 * (nats + z_loss * squares), learned)
    loss = fused_loss.summed_loss(x, weight, targets, -100, shift, soft_cap, z_loss)
    torch.testing.assert_close(loss, nats.detach())
    found = torch.autograd.grad(2 * loss, learned)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_no_rows_at_all_give_zeros() -> None:
    x, weight = torch.randn(0, WIDTH, requires_grad=True), torch.randn(WORDS, WIDTH)
    weight.requires_grad_()
    fused_loss.summed_loss(x, weight, torch.empty(0, dtype=torch.long)).backward()
    assert weight.grad is not None and not weight.grad.any()


def test_slices_are_powers_of_two() -> None:
    assert fused_loss.slice_rows(50_257) == 2048
    assert fused_loss.slice_rows(1 << 28) == 1
