"""AdamW over flat buffers against PyTorch's."""

import torch
from torch import nn

from llm.training.optimizers.adamw import FlatAdamW
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.flat import CHUNK, Flat


def small_model() -> nn.Sequential:
    """Matrices that fill more than one chunk, and vectors."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(300, 301), nn.LayerNorm(301), nn.Linear(301, 7))


def test_thirty_steps_equal_pytorchs_adamw() -> None:
    """In float64 copies, to within float32's rounding."""
    model, reference = small_model(), small_model().double()
    settings = OptimizerSettings(weight_decay=0.3, betas=(0.8, 0.97), epsilon=1e-7)
    flat = Flat(model, parts=1, group=Group())
    ours = FlatAdamW(settings, flat, done=0)
    theirs = torch.optim.AdamW(
        [
            {"params": [p for p in reference.parameters() if p.ndim > 1], "weight_decay": 0.3},
            {"params": [p for p in reference.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.8, 0.97),
        eps=1e-7,
    )
    for step in range(30):
        rate = 0.01 / (1 + step)
        flat.collect(0)
        torch.manual_seed(step)
        for mine, other in zip(model.parameters(), reference.parameters(), strict=True):
            gradient = torch.randn(mine.shape) * 10 ** torch.randn(())
            mine.grad.copy_(gradient)
            other.grad = gradient.double()
        ours.step(rate)
        for group in theirs.param_groups:
            group["lr"] = rate
        theirs.step()
    for mine, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=2e-5, atol=2e-6)


def test_gaps_between_parameters_stay_zero() -> None:
    model = small_model()
    flat = Flat(model, parts=1, group=Group())
    optimizer = FlatAdamW(OptimizerSettings(), flat, done=0)
    flat.collect(0)
    for parameter in model.parameters():
        parameter.grad.fill_(1.0)
    optimizer.step(0.1)
    covered = torch.zeros(flat.layout.size, dtype=torch.bool)
    for _, view in flat.layout.views(covered):
        view.fill_(True)
    assert flat.layout.size > 3 * CHUNK
    assert torch.count_nonzero(flat.parameters[~covered]) == 0
