"""Muon over flat buffers against PyTorch's, and the same bits whoever works on which matrix."""

from pathlib import Path

import pytest
import torch
from torch import nn

from llm.step import Inputs
from llm.training.optimizers.muon import FlatMuon, orthogonalised
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.flat import Flat
from tests.llm.training.runs import Zygote, outcome, prepared, tiny_settings


class Blocks(nn.Module):
    """An embedding, two blocks of a wide and a tall matrix with vectors, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Parameter(torch.randn(301, 30))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(30, 200), nn.Linear(200, 30), nn.LayerNorm(30))
            for _ in range(2)
        )
        self.head = nn.Parameter(torch.randn(301, 30))


def test_twenty_steps_equal_pytorchs_muon_and_adamw() -> None:
    """Products in bfloat16, as PyTorch has them: to within the rounding of those."""
    model, reference = Blocks(), Blocks()
    settings = OptimizerSettings(type="muon", weight_decay=0.3, momentum=0.9)
    flat = Flat(model, parts=1, group=Group())
    ours = FlatMuon(settings, flat, 0, torch.bfloat16)
    matrices = [p for p in reference.blocks.parameters() if p.ndim == 2]
    tables = [reference.embedding, reference.head]
    vectors = [p for p in reference.parameters() if p.ndim == 1]
    theirs: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, weight_decay=0.3, momentum=0.9, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": tables, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}],
            betas=(0.9, 0.95),
        ),
    ]
    for step in range(20):
        rate = 0.02 / (1 + step)
        flat.collect(0)
        torch.manual_seed(step)
        for mine, other in zip(model.parameters(), reference.parameters(), strict=True):
            gradient = torch.randn(mine.shape)
            assert mine.grad is not None
            mine.grad.copy_(gradient)
            other.grad = gradient.clone()
        ours.step(rate)
        for optimizer in theirs:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
    for (name, mine), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-5, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("shape", [(64, 64), (48, 192), (192, 48)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    update = orthogonalised(matrix, torch.float32)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.diagonal(left.T @ update @ right.T)
    assert values.min() > 0.3 and values.max() < 1.3
    torch.testing.assert_close(left @ torch.diag(values) @ right, update, rtol=0, atol=1e-4)


def test_a_model_without_blocks_is_refused() -> None:
    flat = Flat(nn.Linear(3, 3), parts=1, group=Group())
    with pytest.raises(ValueError, match="use adamw"):
        FlatMuon(OptimizerSettings(type="muon"), flat, 0, torch.float32)


def test_the_number_of_processes_does_not_change_a_bit(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    values = tiny_settings(optimizer=OptimizerSettings(type="muon"))
    found = []
    for processes in (1, 2, 4):
        job = prepared(values, inputs, tmp_path / str(processes))
        assert zygote.run(processes, job) == [0] * processes
        found.append(outcome(job.parent))
    assert found[0] == found[1] == found[2]
    adamw = prepared(tiny_settings(), inputs, tmp_path / "adamw")
    assert zygote.run(1, adamw) == [0]
    assert outcome(adamw.parent).model != found[0].model
