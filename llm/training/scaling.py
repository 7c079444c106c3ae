"""Scaling laws: from small runs' losses to the size that is best for a given amount of computing.

Hoffmann et al., Training Compute-Optimal Large Language Models (arXiv 2203.15556), approach 3:
loss(N, D) = E + A / N^alpha + B / D^beta for N parameters and D tokens. For given exponents that is
linear in E, A and B, so these are solved for, and only the exponents are searched.

Worked example with that paper's constants (E 1.69, A 406.4, B 410.7, alpha 0.34, beta 0.28): 6e20
floating-point operations are best spent on 1.4 billion parameters and 69 billion tokens by this law.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 5  # runs for five constants
EXPONENTS = (0.05, 1.2)  # what is searched; published fits lie between 0.2 and 0.8
ROUNDS, POINTS = 5, 25  # of a grid that is refined round its best point


@dataclass(frozen=True)
class Observation:
    """A finished run: parameters N, tokens D, loss (nats a token, or bits a byte throughout)."""

    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class ScalingLaw:
    """loss(N, D) = floor + size / N^alpha + data / D^beta; error: root mean square of the fit."""

    floor: float
    size: float
    data: float
    alpha: float
    beta: float
    error: float

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss that the law expects."""
        of_size = self.size / parameters**self.alpha
        return float(self.floor + of_size + self.data / tokens**self.beta)


def fit(runs: Sequence[Observation]) -> ScalingLaw:
    """The law that is nearest to the runs' losses (least squares; no constant is negative).

    Raises ValueError for fewer than FEWEST runs, or where sizes or lengths do not differ.
    """
    if len(runs) < FEWEST:
        raise ValueError(f"{len(runs)} runs are too few for a scaling law: {FEWEST} at least")
    for name in ("parameters", "tokens"):
        if len({getattr(run, name) for run in runs}) < 2:
            raise ValueError(
                f"all runs have the same number of {name}: they tell nothing of others"
            )
    sizes, tokens, losses = np.array([(r.parameters, r.tokens, r.loss) for r in runs], float).T
    low, high = EXPONENTS
    centre, width = ((low + high) / 2,) * 2, (high - low) / 2
    best: tuple[float, tuple[float, float], np.ndarray] | None = None
    for _ in range(ROUNDS):
        axes = [
            np.clip(np.linspace(middle - width, middle + width, POINTS), low, high)
            for middle in centre
        ]
        for alpha, beta in itertools.product(*axes):
            terms = np.stack((np.ones_like(losses), sizes**-alpha, tokens**-beta), axis=1)
            constants = _non_negative(terms, losses)
            error = float(np.sqrt(np.mean((terms @ constants - losses) ** 2)))
            if best is None or error < best[0]:
                best = error, (float(alpha), float(beta)), constants
        assert best is not None
        centre, width = best[1], width / POINTS * 3
    assert best is not None
    error, (alpha, beta), constants = best
    floor, size, data = (float(constant) for constant in constants)
    return ScalingLaw(floor, size, data, alpha, beta, error)


def _non_negative(terms: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Least squares with no negative constant: the best over which of the three are left out."""
    scale = np.abs(terms).max(axis=0)
    found, least = np.zeros(terms.shape[1]), np.inf
    for kept in itertools.product((True, False), repeat=terms.shape[1]):
        chosen = np.flatnonzero(kept)
        if not len(chosen):
            continue
        part, *_ = np.linalg.lstsq(terms[:, chosen] / scale[chosen], wanted, rcond=None)
        if (part < 0).any():
            continue
        constants = np.zeros(terms.shape[1])
        constants[chosen] = part / scale[chosen]
        error = float(((terms @ constants - wanted) ** 2).sum())
        if error < least:
            found, least = constants, error
    return found


def best_size(
    law: ScalingLaw, candidates: Sequence[float], tokens_for: Callable[[float], float]
) -> tuple[int, float]:
    """Which of the candidates (parameters) reaches the least loss, and that loss.

    tokens_for: how many tokens a model of that size can be trained on with what may be spent.
    """
    losses = [law.loss(size, tokens_for(size)) for size in candidates]
    best = int(np.argmin(losses))
    return best, losses[best]
