"""Warm-up, stable, decay."""

import numpy as np
import pytest
import torch

from llm.training.schedule import ScheduleSettings, decay_start, learning_rate


def test_the_rate_is_the_piecewise_linear_curve_of_the_paper() -> None:
    settings = ScheduleSettings(
        peak_lr=0.5, warmup_tokens=1000, decay_fraction=0.25, final_lr_fraction=0.1
    )
    rates = [learning_rate(settings, step, 200, 100) for step in range(200)]
    # After each step: warmed up from 0 over 10 steps, flat to step 150, down to 0.05 after step 200.
    expected = np.interp(np.arange(200), [-1, 9, 150, 200], [0, 0.5, 0.5, 0.05])
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [3, 10, 50])
def test_nothing_before_the_decay_hangs_on_the_length(steps: int) -> None:
    settings = ScheduleSettings(warmup_tokens=2000, decay_fraction=0.3)
    for step in range(decay_start(settings, steps, 100)):
        assert learning_rate(settings, step, steps, 100) == learning_rate(settings, step, 999, 100)


@pytest.mark.parametrize(("fraction", "start"), [(0.0, 100), (0.2, 80), (1.0, 0)])
def test_the_decay_takes_its_share_of_the_steps(fraction: float, start: int) -> None:
    settings = ScheduleSettings(decay_fraction=fraction, warmup_tokens=0)
    assert decay_start(settings, 100, 1) == start
    rates = [learning_rate(settings, step, 100, 1) for step in range(100)]
    assert all(0 < rate <= settings.peak_lr for rate in rates)
    assert rates.count(settings.peak_lr) == min(100, start + 1)


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_the_rate_is_pytorchs_after_a_warm_up(kind: str) -> None:
    """Torch's own schedulers, chained: 10 steps up, 90 steps down to a tenth."""
    settings = ScheduleSettings(
        type=kind,
        peak_lr=0.5,
        warmup_tokens=1000,
        final_lr_fraction=0.1,  # type: ignore[arg-type]
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    down: torch.optim.lr_scheduler.LRScheduler
    if kind == "cosine":
        down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 90, eta_min=0.05)
    else:
        down = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 90)
    expected = [0.05 * (step + 1) for step in range(10)]
    for _ in range(90):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        down.step()
    rates = [learning_rate(settings, step, 100, 100) for step in range(100)]
    np.testing.assert_allclose(rates, expected, rtol=1e-9)
    assert decay_start(settings, 100, 100) == 10


def test_a_warm_up_may_be_a_share_of_the_steps() -> None:
    """As `transformers.get_linear_schedule_with_warmup`, whose first step has the rate of step 0."""
    schedule = ScheduleSettings(type="linear", peak_lr=1.0, warmup_fraction=0.25)
    rates = [learning_rate(schedule, step, 8, 100) for step in range(8)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert decay_start(schedule, 8, 100) == 2


def test_a_warm_up_by_share_does_not_go_with_a_run_that_can_be_made_longer() -> None:
    with pytest.raises(ValueError, match="give warmup_tokens, or choose linear or cosine"):
        ScheduleSettings(warmup_fraction=0.1)
