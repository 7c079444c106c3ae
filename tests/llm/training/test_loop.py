"""Gradients of a step, however it is cut up; what happens when they are no numbers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.training.loop import Plan, Rows, Run, gradients, train
from llm.training.optimizer import OptimizerSettings
from llm.training.ranks import Group


class Bigram(nn.Module):
    """Logits of the next token from this one, by a table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Parameter(torch.randn(50, 50))

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.table[tokens].flatten(0, 1), targets.flatten(), reduction="sum")


class Noise:
    """Random rows, half of whose targets are masked, unevenly; `bad_step` is poisoned."""

    def part(self, step: int, part: int, parts: int) -> Rows:
        random = np.random.default_rng(step)
        tokens = random.integers(0, 50, (12, 9))
        masked = random.random((12, 8)) < np.linspace(0, 1, 12)[:, None]
        targets = np.where(masked, -100, tokens[:, 1:])
        rows = slice(part * 12 // parts, (part + 1) * 12 // parts)
        return Rows(tokens[rows, :-1], targets[rows])

    def seen(self, step: int) -> Any:
        return [step]


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "steps": 5,
        "tokens_per_step": 96,
        "parts": 3,
        "learning_rate": lambda step: 0.1,
        "optimizer": OptimizerSettings(),
        "seed": 1,
        "identity": "test",
        "micro_batch": 3,
        "checkpoint_every": 2,
    }
    return Plan(**{**values, **changes})


@pytest.mark.parametrize(("parts", "micro_batch"), [(1, 12), (1, 5), (3, 2), (4, 3)])
def test_the_gradient_is_that_of_the_mean_over_all_targets_at_once(
    parts: int, micro_batch: int, tmp_path: Path
) -> None:
    """However unevenly masked targets lie in parts and micro-batches."""
    model, reference = Bigram(), Bigram()
    whole = Noise().part(0, 0, 1)
    targets = torch.from_numpy(whole.targets)
    loss = reference.loss(torch.from_numpy(whole.tokens), targets) / (targets != -100).sum()
    loss.backward()
    settings = plan(parts=parts, micro_batch=micro_batch)
    run = Run(model, settings, Group(), tmp_path)
    run.resume(None)
    for part in range(parts):
        run.flat.collect(part)
        rows = Noise().part(0, part, parts)
        nats, count = gradients(model, rows, settings, torch.device("cpu"), Group())
        run.flat.losses[part], run.flat.counts[part] = nats, count
    run.flat.reduce()
    assert reference.table.grad is not None
    ours = next(view for _, view in run.flat.layout.views(run.flat.gradients[0]))
    torch.testing.assert_close(ours, reference.table.grad, rtol=1e-5, atol=1e-7)
    assert run.flat.loss() == pytest.approx(loss.item(), rel=1e-6)
    assert run.flat.norm() == pytest.approx(reference.table.grad.norm().item(), rel=1e-6)


def test_five_steps_equal_a_plain_pytorch_loop(tmp_path: Path) -> None:
    model, reference = Bigram(), Bigram()
    train(model, Noise(), plan(clip=0.2), Group(), tmp_path)
    optimizer = torch.optim.AdamW(
        reference.parameters(), lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    for step in range(5):
        rows = Noise().part(step, 0, 1)
        targets = torch.from_numpy(rows.targets)
        loss = reference.loss(torch.from_numpy(rows.tokens), targets) / (targets != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.2)
        optimizer.step()
    torch.testing.assert_close(model.table, reference.table, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_no_number_names_step_rate_and_a_way_out(tmp_path: Path) -> None:
    class Poisoned(Bigram):
        calls = 0

        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return super().loss(tokens, targets) * (float("nan") if self.calls > 18 else 1.0)

    with pytest.raises(RuntimeError, match=r"diverged at step 4 of 5.*rate 0.1.*Lower .*peak_lr"):
        train(Poisoned(), Noise(), plan(), Group(), tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000002"]


def test_another_environment_is_told(tmp_path: Path) -> None:
    stopped = Group(stopping=False)
    train(Bigram(), Noise(), plan(steps=2), stopped, tmp_path)
    train(Bigram(), Noise(), plan(micro_batch=4), Group(), tmp_path)
    assert "equivalent, not bitwise the same" in (tmp_path / "started.json").read_text()


@pytest.mark.parametrize(
    ("steps", "trunk_at", "goes_on_from"), [(6, 2, 4), (8, 2, 0), (8, 4, 0), (8, 3, 0)]
)
def test_a_checkpoint_from_inside_a_decay_is_not_that_of_another(
    steps: int, trunk_at: int, goes_on_from: int, tmp_path: Path
) -> None:
    """Six steps, the decay from the third on, stopped after four; then perhaps another length."""

    class Stopped(Noise):
        def part(self, step: int, part: int, parts: int) -> Rows:
            group.stopping = step == 4
            return super().part(step, part, parts)

    group = Group()
    first = plan(steps=6, trunk_at=2, ending="6", checkpoint_every=100)
    assert train(Bigram(), Stopped(), first, group, tmp_path) == 4
    shutil.rmtree(tmp_path / "checkpoints" / "step-000000002")  # that of the trunk fits all
    again = plan(steps=steps, trunk_at=trunk_at, ending=str(steps))
    assert train(Bigram(), Noise(), again, Group(), tmp_path) == steps
    assert json.loads((tmp_path / "started.json").read_text())["step"] == goes_on_from
