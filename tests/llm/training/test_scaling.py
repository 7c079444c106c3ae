"""Scaling laws, held to the constants and the optimum that the paper publishes."""

import numpy as np
import pytest

from llm.training.scaling import Observation, ScalingLaw, best_size, fit

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
    best, loss = best_size(law, list(sizes), lambda size: operations / 6 / size)
    assert sizes[best] == pytest.approx(wanted, rel=0.01)
    assert loss == pytest.approx(law.loss(wanted, operations / 6 / wanted), rel=1e-4)


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
