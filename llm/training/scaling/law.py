"""Scaling laws: from small runs' losses to the size that is best for what may be spent.

Hoffmann et al., Training Compute-Optimal Large Language Models (arXiv 2203.15556), approach 3:
loss(N, D) = E + A / N^alpha + B / D^beta for N parameters and D tokens. For given exponents that is
linear in E, A and B, so these are solved for, and only the exponents are searched.

Worked example with that paper's constants (E 1.69, A 406.4, B 410.7, alpha 0.34, beta 0.28): 6e20
floating-point operations are best spent on 1.4 billion parameters and 69 billion tokens by this law.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEWEST = 5  # runs for five constants
EXPONENTS = (0.05, 1.2)  # what is searched; published fits lie between 0.2 and 0.8
ROUNDS, POINTS = 5, 25  # of a grid that is refined round its best point
# Muennighoff et al., Scaling Data-Constrained Language Models (arXiv 2305.16264): after this many
# repetitions a token is worth 1/e of a new one.
REPETITIONS_TO_E = 15.39


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


def effective_tokens(tokens: float, unique: float) -> float:
    """How many new tokens are worth as much as `tokens` from a corpus of `unique`, repeated.

    Muennighoff et al., equation 5: U + U R* (1 - e^(-R / R*)) for R = tokens / unique - 1
    repetitions. Example: four epochs are worth 3.7 of new text, forty are worth 15.2.
    """
    if tokens <= unique:
        return tokens
    repetitions = tokens / unique - 1
    worth = REPETITIONS_TO_E * -math.expm1(-repetitions / REPETITIONS_TO_E)
    return unique * (1 + worth)


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
    # In units of their geometric means powers stay near 1, whatever the exponent.
    units = np.exp(np.log(sizes).mean()), np.exp(np.log(tokens).mean())
    low, high = EXPONENTS
    centre, width = ((low + high) / 2,) * 2, (high - low) / 2
    least, exponents, constants = math.inf, centre, np.zeros(3)
    for _ in range(ROUNDS):
        axes = [
            np.clip(np.linspace(middle - width, middle + width, POINTS), low, high)
            for middle in centre
        ]
        grid = np.array(list(itertools.product(*axes)))  # (G, 2)
        of_size = (sizes / units[0]) ** -grid[:, :1]  # (G, runs)
        of_data = (tokens / units[1]) ** -grid[:, 1:]
        terms = np.stack((np.ones_like(of_size), of_size, of_data), axis=2)  # (G, runs, 3)
        found, errors = non_negative(terms, losses)
        best = int(np.argmin(errors))
        if errors[best] < least:
            least, constants = float(errors[best]), found[best]
            exponents = float(grid[best, 0]), float(grid[best, 1])
        centre, width = exponents, width / POINTS * 3
    alpha, beta = exponents
    return ScalingLaw(
        floor=float(constants[0]),
        size=float(constants[1] * units[0] ** alpha),
        data=float(constants[2] * units[1] ** beta),
        alpha=alpha,
        beta=beta,
        error=math.sqrt(least / len(runs)),
    )


def leave_one_out(runs: Sequence[Observation]) -> list[ScalingLaw]:
    """The law without each run in turn; none where too few would be left.

    How far they are apart at a point is how much the law depends on single runs there.
    """
    if len(runs) <= FEWEST:
        return []
    return [fit([*runs[:left], *runs[left + 1 :]]) for left in range(len(runs))]


def non_negative(terms: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Least squares with no negative constant, for many problems at once.

    terms: (problems, equations, constants), wanted: (equations,). Returns the constants (problems,
    constants), the best over which of them are zero, and the sums of squared errors (problems,).
    """
    problems, _, count = terms.shape
    found, least = np.zeros((problems, count)), np.full(problems, float((wanted**2).sum()))
    for kept in itertools.product((True, False), repeat=count):
        chosen = np.flatnonzero(kept)
        if not len(chosen):
            continue
        part = terms[:, :, chosen]
        constants = (np.linalg.pinv(part, rcond=1e-10) @ wanted[:, None])[..., 0]
        errors = (((part @ constants[..., None])[..., 0] - wanted) ** 2).sum(axis=1)
        better = (constants >= 0).all(axis=1) & (errors < least)
        least = np.where(better, errors, least)
        found[better] = 0
        found[np.ix_(better, chosen)] = constants[better]
    return found, least


def best_size(law: ScalingLaw, candidates: Sequence[tuple[float, float]]) -> int:
    """Which of the candidates (parameters, tokens they are trained on) reaches the least loss."""
    return int(np.argmin([law.loss(*candidate) for candidate in candidates]))
