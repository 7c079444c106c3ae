"""One process with buffers of its own: the same steps as a plain loop, whatever goes wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm.training.batch import Batch
from llm.training.incidents import Incidents
from llm.training.loop import train
from llm.training.objectives.next_token import NextToken
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.ways.passes import Part
from tests.llm.training import test_loop
from tests.llm.training.test_loop import Allergic, Bigram, Marked, Noise


def plan(**changes: Any) -> TrainingPlan:
    return test_loop.plan(**{"parallelism": "ddp", **changes})


def test_five_steps_equal_a_plain_pytorch_loop(tmp_path: Path) -> None:
    model, reference = Bigram(), Bigram()
    train(model, Noise(), NextToken(), plan(clip=0.2), Group(), tmp_path)
    optimizer = torch.optim.AdamW(
        reference.parameters(), lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    norms = []
    for step in range(5):
        rows = Noise().part(step, 0, 1)
        targets = torch.from_numpy(rows["targets"])
        loss = reference.loss(torch.from_numpy(rows["tokens"]), targets) / (targets != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(reference.parameters(), 0.2)))
        optimizer.step()
    torch.testing.assert_close(model.table, reference.table, rtol=1e-4, atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [line["grad_norm"] for line in lines] == pytest.approx(norms, rel=1e-5)


def test_out_of_memory_halves_the_micro_batch_and_makes_the_step_again(tmp_path: Path) -> None:
    """Only in the third part, so that what the parts before it have added up is made again."""

    class Small(Bigram):
        calls = 0

        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            if self.calls >= 3 and len(tokens) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().loss(tokens, targets)

    small, plain = Small(), Bigram()
    train(small, Noise(), NextToken(), plan(micro_batch=64), Group(), tmp_path / "small")
    train(plain, Noise(), NextToken(), plan(micro_batch=2), Group(), tmp_path / "plain")
    assert torch.equal(small.table, plain.table)
    assert Incidents.read(tmp_path / "small").counts() == {"micro_batch": {"0": 2}}


def test_bad_data_is_skipped_though_it_was_read_ahead(tmp_path: Path) -> None:
    source = Marked()
    source.bad = (5,)
    model, reference = Allergic(), Allergic()
    assert train(model, source, NextToken(), plan(steps=8), Group(), tmp_path / "ahead") == 8
    seen = [json.loads(line)["windows"] for line in (tmp_path / "ahead" / "seen.jsonl").open()]
    assert seen == [[step] for step in (0, 1, 2, 3, 6, 7, 8, 9)]
    train(reference, source, NextToken(), test_loop.plan(steps=8), Group(), tmp_path / "flat")
    torch.testing.assert_close(model.table, reference.table, rtol=1e-4, atol=1e-6)


def test_an_error_while_reading_ahead_ends_the_run(tmp_path: Path) -> None:
    class Torn(Noise):
        def part(self, step: int, part: int, parts: int) -> Batch:
            if step == 3:
                raise ValueError("the shard is torn")
            return super().part(step, part, parts)

    with pytest.raises(ValueError, match="the shard is torn"):
        train(Bigram(), Torn(), NextToken(), plan(), Group(), tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("micro_batch", "sizes"), [(12, [12]), (64, [12]), (8, [6, 6]), (5, [4, 4, 4]), (1, [1] * 12)]
)
def test_micro_batches_are_few_and_alike(micro_batch: int, sizes: list[int]) -> None:
    """Sizes for twelve rows, at most so many at once."""
    cuts = Part.of(0, Noise().part(0, 0, 1), pinned=False).cuts(micro_batch)
    assert [len(range(12)[cut]) for cut in cuts] == sizes
