"""The best weights are kept and given back, and a run that was interrupted ends as it would have."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from llm.training.finetune.best import Best

STEPS = 60
SCORES = {10: [0.5, -2.0], 20: [0.7, -1.0], 30: [0.7, -0.9], 40: [0.7, -0.9], 50: [0.6, -0.1]}


def run(
    work: Path, begin: int, end: int, patience: int | None = None
) -> tuple[Best, nn.Linear, int]:
    """Steps begin + 1 to end, whose weights are the number of the step; where it ended."""
    model = nn.Linear(1, 1)
    done = begin

    def measure() -> Sequence[float]:
        return SCORES.get(done, [0.0, 0.0])

    best = Best(work, 10, patience, measure, model, writes=True)
    while done < end and not best.over(done):
        done += 1
        with torch.no_grad():
            model.weight.fill_(done)
        if best.ends(done, STEPS):
            break
    return best, model, done


def test_the_best_is_given_back_and_of_equals_the_first(tmp_path: Path) -> None:
    best, model, done = run(tmp_path, 0, STEPS)
    assert (done, best.step, best.score) == (60, 30, [0.7, -0.9])
    assert model.weight.item() == 60
    best.restore()
    assert model.weight.item() == 30


def test_patience_ends_a_run(tmp_path: Path) -> None:
    best, _, done = run(tmp_path, 0, STEPS, patience=2)
    assert (done, best.step, best.end) == (50, 30, 50)


@pytest.mark.parametrize("killed", [9, 10, 25, 30, 45, 50])
@pytest.mark.parametrize("checkpoint", [0, 5, 10, 29])
def test_a_run_that_went_back_to_a_checkpoint_ends_alike(
    killed: int, checkpoint: int, tmp_path: Path
) -> None:
    """Measurements after the checkpoint are there already, and are made again."""
    run(tmp_path, 0, killed, patience=2)
    best, model, done = run(tmp_path, min(checkpoint, killed), STEPS, patience=2)
    assert (done, best.step, best.score, best.end) == (50, 30, [0.7, -0.9], 50)
    best.restore()
    assert model.weight.item() == 30
