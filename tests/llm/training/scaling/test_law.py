"""Scaling laws, held to the constants and the optimum that the paper publishes."""

import numpy as np
import pytest

from llm.training.scaling.law import (
    Observation,
    ScalingLaw,
    best_size,
    effective_tokens,
    fit,
    leave_one_out,
)

# Hoffmann et al. 2022, equation 10.
CHINCHILLA = ScalingLaw(floor=1.69, size=406.4, data=410.7, alpha=0.34, beta=0.28, error=0.0)


def runs_of(law: ScalingLaw, noise: float = 0.0) -> list[Observation]:
    random = np.random.default_rng(0)
    return [
        Observation(size, tokens, law.loss(size, tokens) * (1 + noise * random.standard_normal()))
        for size in (1e6, 3e6, 1e7, 3e7)
        for tokens in (2e7, 1e8, 5e8)
    ]


def test_the_constants_of_a_law_come_back_from_its_losses() -> None:
    found = fit(runs_of(CHINCHILLA))
    assert found.error < 2e-3
    assert found.alpha == pytest.approx(0.34, abs=0.02)
    assert found.beta == pytest.approx(0.28, abs=0.02)
    assert found.loss(7e9, 1.4e11) == pytest.approx(CHINCHILLA.loss(7e9, 1.4e11), rel=0.02)


def test_noise_of_runs_moves_what_is_foreseen_little() -> None:
    found = fit(runs_of(CHINCHILLA, noise=0.003))
    # Ten times the size, ten times the data of the largest run.
    assert found.loss(3e8, 5e9) == pytest.approx(CHINCHILLA.loss(3e8, 5e9), rel=0.05)


def test_the_best_size_for_a_budget_is_that_of_the_closed_form() -> None:
    """Equation 4: N = G (C/6)^a with G = (alpha A / (beta B))^(1/(alpha+beta)), a = beta/(alpha+beta)."""
    law, operations = CHINCHILLA, 6e20
    power = law.alpha + law.beta
    share = (law.alpha * law.size / (law.beta * law.data)) ** (1 / power)
    wanted = share * (operations / 6) ** (law.beta / power)
    sizes = np.geomspace(1e8, 1e11, 2000)
    best = best_size(law, [(size, operations / 6 / size) for size in sizes])
    assert sizes[best] == pytest.approx(wanted, rel=0.01)


def test_too_few_runs_or_runs_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="4 runs are too few"):
        fit(runs_of(CHINCHILLA)[:4])
    alike = [Observation(1e6, tokens, 3.0) for tokens in (1e6, 2e6, 3e6, 4e6, 5e6)]
    with pytest.raises(ValueError, match="same number of parameters"):
        fit(alike)


def test_no_constant_is_negative_where_more_data_did_not_help() -> None:
    found = fit(
        [
            Observation(size, tokens, 3 + 1e3 / size**0.5 + 1e-9 * tokens)
            for size in (1e6, 1e7) for tokens in (1e6, 1e7, 1e8)
        ]
    )  # fmt: skip
    assert min(found.floor, found.size, found.data) >= 0


def test_no_single_run_decides_a_law_without_noise() -> None:
    laws = leave_one_out(runs_of(CHINCHILLA))
    assert len(laws) == 12
    wanted = CHINCHILLA.loss(3e8, 5e9)
    assert [law.loss(3e8, 5e9) for law in laws] == pytest.approx([wanted] * 12, rel=0.01)


def test_with_noise_the_laws_without_a_run_lie_on_both_sides_of_the_truth() -> None:
    losses = [law.loss(3e8, 5e9) for law in leave_one_out(runs_of(CHINCHILLA, noise=0.003))]
    assert min(losses) < fit(runs_of(CHINCHILLA, noise=0.003)).loss(3e8, 5e9) < max(losses)
    assert leave_one_out(runs_of(CHINCHILLA)[:5]) == []


@pytest.mark.parametrize(("epochs", "worth"), [(0.5, 0.5), (1, 1), (4, 3.73), (40, 15.17)])
def test_repeated_tokens_are_worth_what_the_paper_gives(epochs: float, worth: float) -> None:
    """Muennighoff et al. 2023: up to four epochs nearly new, at most 16.39 epochs' worth ever."""
    assert effective_tokens(epochs * 1e6, 1e6) == pytest.approx(worth * 1e6, rel=2e-3)
    assert effective_tokens(1e12, 1e6) == pytest.approx(16.39e6, rel=1e-3)
