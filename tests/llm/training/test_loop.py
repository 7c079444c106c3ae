"""Gradients of a step, however it is cut up; what happens when they are no numbers."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.training import checkpoints
from llm.training.batch import Batch
from llm.training.incidents import Incidents
from llm.training.loop import gradients, train
from llm.training.objectives.next_token import NextToken
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.plan import SpikeSettings, TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.run import TrainingRun


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

    def part(self, step: int, part: int, parts: int) -> Batch:
        random = np.random.default_rng(step)
        tokens = random.integers(0, 50, (12, 9))
        masked = random.random((12, 8)) < np.linspace(0, 1, 12)[:, None]
        targets = np.where(masked, -100, tokens[:, 1:])
        rows = slice(part * 12 // parts, (part + 1) * 12 // parts)
        return Batch.of(tokens=tokens[rows, :-1], targets=targets[rows])

    def seen(self, step: int) -> Any:
        return [step]


def plan(**changes: Any) -> TrainingPlan:
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
    return TrainingPlan(**{**values, **changes})


@pytest.mark.parametrize(("parts", "micro_batch"), [(1, 12), (1, 5), (3, 2), (4, 3)])
def test_the_gradient_is_that_of_the_mean_over_all_targets_at_once(
    parts: int, micro_batch: int, tmp_path: Path
) -> None:
    """However unevenly masked targets lie in parts and micro-batches."""
    model, reference = Bigram(), Bigram()
    whole = Noise().part(0, 0, 1)
    targets = torch.from_numpy(whole["targets"])
    loss = reference.loss(torch.from_numpy(whole["tokens"]), targets) / (targets != -100).sum()
    loss.backward()
    settings = plan(parts=parts, micro_batch=micro_batch)
    run = TrainingRun(model, NextToken(), settings, Group(), tmp_path)
    run.resume(None)
    for part in range(parts):
        run.flat.collect(part)
        rows = Noise().part(0, part, parts)
        nats, count = gradients(run.loss, rows, micro_batch, torch.device("cpu"), Group())
        run.flat.losses[part], run.flat.counts[part] = nats, count
    run.flat.reduce()
    assert reference.table.grad is not None
    ours = next(view for _, view in run.flat.layout.views(run.flat.gradients[0]))
    torch.testing.assert_close(ours, reference.table.grad, rtol=1e-5, atol=1e-7)
    assert run.flat.loss() == pytest.approx(loss.item(), rel=1e-6)
    assert run.flat.norm() == pytest.approx(reference.table.grad.norm().item(), rel=1e-6)


def test_five_steps_equal_a_plain_pytorch_loop(tmp_path: Path) -> None:
    model, reference = Bigram(), Bigram()
    train(model, Noise(), NextToken(), plan(clip=0.2), Group(), tmp_path)
    optimizer = torch.optim.AdamW(
        reference.parameters(), lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    for step in range(5):
        rows = Noise().part(step, 0, 1)
        targets = torch.from_numpy(rows["targets"])
        loss = reference.loss(torch.from_numpy(rows["tokens"]), targets) / (targets != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.2)
        optimizer.step()
    torch.testing.assert_close(model.table, reference.table, rtol=1e-4, atol=1e-5)


def test_a_loss_that_stays_no_number_names_step_rate_and_a_way_out(tmp_path: Path) -> None:
    class Poisoned(Bigram):
        calls = 0

        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return super().loss(tokens, targets) * (float("nan") if self.calls > 18 else 1.0)

    with pytest.raises(
        RuntimeError, match=r"diverged at step 3 of 5.*rate 0.1.*Lower .*peak_lr.*skipped 3 times"
    ):
        train(Poisoned(), Noise(), NextToken(), plan(), Group(), tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000002"]


class Marked(Noise):
    """Rows whose targets name the step in `bad` that they are of, as a token that no other row has."""

    bad: tuple[int, ...] = ()

    def part(self, step: int, part: int, parts: int) -> Batch:
        rows = super().part(step, part, parts)
        if step in self.bad and part == 0:
            rows["targets"][:] = np.where(rows["targets"] == -100, -100, 49)
            rows["tokens"][:] = 49
        return rows


class Allergic(Bigram):
    """Its loss is no number where all tokens are 49."""

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return super().loss(tokens, targets) * (float("nan") if (tokens == 49).all() else 1.0)


def test_bad_data_is_skipped_back_to_the_checkpoint_and_told(tmp_path: Path) -> None:
    """Step 5 of 8 is bad, a checkpoint after 4: then 0 1 2 3 6 7 8 9 are read."""
    source = Marked()
    source.bad = (5,)
    model, reference = Allergic(), Allergic()
    assert train(model, source, NextToken(), plan(steps=8), Group(), tmp_path) == 8
    seen = [json.loads(line)["windows"] for line in (tmp_path / "seen.jsonl").open()]
    assert seen == [[step] for step in (0, 1, 2, 3, 6, 7, 8, 9)]
    assert Incidents.read(tmp_path).counts() == {"skipped": [4, 5]}
    started = json.loads((tmp_path / "started.json").read_text())
    assert started["step"] == 4 and "data of 2 steps is skipped (1 of at most 3" in str(started)

    class Without(Marked):
        def part(self, step: int, part: int, parts: int) -> Batch:
            return super().part(step + 2 * (step >= 4), part, parts)

    train(reference, Without(), NextToken(), plan(steps=8), Group(), tmp_path / "reference")
    assert torch.equal(model.table, reference.table)


def test_a_run_that_goes_wrong_again_goes_one_checkpoint_further_back(tmp_path: Path) -> None:
    """5 and 6 are bad: back to 4, past 4 and 5; step 4 reads 6: back to 2, past 2, 3 and 6."""
    source = Marked()
    source.bad = (5, 6)
    train(Allergic(), source, NextToken(), plan(steps=6), Group(), tmp_path)
    seen = [json.loads(line)["windows"][0] for line in (tmp_path / "seen.jsonl").open()]
    assert seen == [0, 1, 7, 8, 9, 10]
    assert [skip.origin for skip in Incidents.read(tmp_path).skips] == [4, 2]


def test_a_resumed_run_keeps_to_what_was_skipped(tmp_path: Path) -> None:
    source = Marked()
    source.bad = (5,)
    model, again = Allergic(), Allergic()
    train(model, source, NextToken(), plan(steps=8), Group(), tmp_path / "whole")
    train(again, source, NextToken(), plan(steps=5), Group(), tmp_path / "halves")
    resumed = Allergic()
    train(resumed, source, NextToken(), plan(steps=8), Group(), tmp_path / "halves")
    assert torch.equal(resumed.table, model.table)


def test_without_skips_allowed_the_first_bad_loss_ends_the_run(tmp_path: Path) -> None:
    source = Marked()
    source.bad = (3,)
    with pytest.raises(RuntimeError, match=r"diverged at step 4 of 5"):
        train(
            Allergic(), source, NextToken(), plan(spikes=SpikeSettings(most=0)), Group(), tmp_path
        )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("can't allocate memory"),
    ],
    ids=["cuda", "python", "processor"],
)
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(
    error: Exception, tmp_path: Path
) -> None:
    class Small(Bigram):
        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            if len(tokens) > 2:
                raise error
            return super().loss(tokens, targets)

    small, plain = Small(), Bigram()
    train(small, Noise(), NextToken(), plan(micro_batch=64), Group(), tmp_path / "small")
    train(plain, Noise(), NextToken(), plan(micro_batch=2), Group(), tmp_path / "plain")
    assert torch.equal(small.table, plain.table)
    assert Incidents.read(tmp_path / "small").counts() == {"micro_batch": {"0": 2}}

    class Tiny(Bigram):
        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            raise error

    with pytest.raises(RuntimeError, match="out of memory for a single row"):
        train(Tiny(), Noise(), NextToken(), plan(), Group(), tmp_path / "tiny")


def test_another_error_is_not_taken_for_a_lack_of_memory(tmp_path: Path) -> None:
    class Broken(Bigram):
        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        train(Broken(), Noise(), NextToken(), plan(), Group(), tmp_path)


def test_the_last_checkpoints_and_every_so_many_are_kept(tmp_path: Path) -> None:
    train(
        Bigram(), Noise(), NextToken(), plan(steps=9, keep_last=2, keep_every=4), Group(), tmp_path
    )
    assert checkpoints.steps(tmp_path / "checkpoints") == [4, 6, 8, 9]


def test_an_error_of_a_writing_thread_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space for checkpoint")

    monkeypatch.setattr(checkpoints, "save", refuse)
    with pytest.raises(OSError, match="no space"):
        train(Bigram(), Noise(), NextToken(), plan(), Group(), tmp_path)


def test_another_environment_is_told(tmp_path: Path) -> None:
    stopped = Group(stopping=False)
    train(Bigram(), Noise(), NextToken(), plan(steps=2), stopped, tmp_path)
    train(Bigram(), Noise(), NextToken(), plan(micro_batch=4), Group(), tmp_path)
    assert "equivalent, not bitwise the same" in (tmp_path / "started.json").read_text()


@pytest.mark.parametrize(
    ("steps", "trunk_at", "goes_on_from"), [(6, 2, 4), (8, 2, 0), (8, 4, 0), (8, 3, 0)]
)
def test_a_checkpoint_from_inside_a_decay_is_not_that_of_another(
    steps: int, trunk_at: int, goes_on_from: int, tmp_path: Path
) -> None:
    """Six steps, the decay from the third on, stopped after four; then perhaps another length."""

    class Stopped(Noise):
        def part(self, step: int, part: int, parts: int) -> Batch:
            group.stopping = step == 4
            return super().part(step, part, parts)

    group = Group()
    first = plan(steps=6, trunk_at=2, ending="6", checkpoint_every=100)
    assert train(Bigram(), Stopped(), NextToken(), first, group, tmp_path) == 4
    shutil.rmtree(tmp_path / "checkpoints" / "step-000000002")  # that of the trunk fits all
    again = plan(steps=steps, trunk_at=trunk_at, ending=str(steps))
    assert train(Bigram(), Noise(), NextToken(), again, Group(), tmp_path) == steps
    assert json.loads((tmp_path / "started.json").read_text())["step"] == goes_on_from
