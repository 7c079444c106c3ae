"""Whether one model is better than another beyond chance, by a figure that both have on the same items.

A figure is a ratio of sums over items, so items are what is drawn again: the bootstrap resamples them
in pairs (both models on the same item), which takes out that some items are harder than others. The
bound is the studentised one (Efron and Tibshirani 1993, chapter 12), which holds its level on a few
dozen items too, where plain percentiles promote too often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llm.evaluation.result import Items, Term, error_of, smallest_difference, standard_error
from llm.evaluation.suite import Direction

RESAMPLES = 10_000
SEED = 20_240_501
# More items than this are drawn in groups: the bound hardly changes, the time does.
MOST_UNITS = 2_048
FEWEST_ITEMS = 5

Array = np.ndarray[Any, np.dtype[Any]]
Verdict = Literal["better", "within chance", "not better", "the same", "too few"]


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a champion, by one figure.

    difference: candidate - champion. bound: what the difference is below, with the confidence asked
    for, where lower is better, and above where higher is. So a candidate is better beyond chance if the
    bound is below 0 (above it), and no worse than some margin if it is below the margin (above minus
    the margin). smallest_difference: what this many items can see. Both are None for too few items.
    items: how many were compared.
    """

    candidate: float
    champion: float
    difference: float
    bound: float | None
    smallest_difference: float | None
    items: int
    verdict: Verdict


def compare(candidate: Items, champion: Items, better: Direction, confidence: float) -> Comparison:
    """Compare two models by their items.

    Raises ValueError where the two were not measured on the same items.
    """
    _require_same(candidate, champion)
    values = candidate.value, champion.value
    difference = values[0] - values[1]
    count = len(candidate.names)
    same = np.array_equal(candidate.sums, champion.sums)
    if same and np.array_equal(candidate.weights, champion.weights):
        return Comparison(*values, 0.0, 0.0, 0.0, count, "the same")
    if count < FEWEST_ITEMS:
        return Comparison(*values, difference, None, None, count, "too few")
    # Downwards is better in what is bounded.
    sign = 1.0 if better == "lower" else -1.0
    terms = _terms(candidate, champion, sign)
    worse, bound = difference_bound(terms, confidence)
    seen = smallest_difference(error_of(terms), confidence)
    verdict: Verdict = "not better"
    if worse < 0:
        verdict = "better" if bound < 0 else "within chance"
    return Comparison(*values, sign * worse, sign * bound, seen, count, verdict)


def difference_bound(terms: Sequence[Term], confidence: float) -> tuple[float, float]:
    """The sum of the terms' ratios, and what it is below with `confidence`.

    The same numbers give the same bound.
    """
    difference = float(sum(sums.sum() / weights.sum() for sums, weights in terms))
    grouped = [(_grouped(sums), _grouped(weights)) for sums, weights in terms]
    count = len(grouped[0][0])
    error = error_of(grouped)
    if error == 0:  # every item says the same
        return difference, difference
    random = np.random.default_rng(SEED)
    scores = []
    for _ in range(0, RESAMPLES, 1000):
        drawn = random.integers(0, count, (1000, count))
        again = [(sums[drawn], weights[drawn]) for sums, weights in grouped]  # (1000, N)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = sum(sums.sum(1) / weights.sum(1) for sums, weights in again)
            again_error = standard_error(again)
        # One item drawn N times has no spread, and items may weigh nothing: such a draw says nothing.
        useful = np.isfinite(again_error) & (again_error > 1e-9 * error)
        scores.append((value - difference)[useful] / again_error[useful])
    low = float(np.quantile(np.concatenate(scores), 1 - confidence))
    return difference, difference - low * error


def _terms(candidate: Items, champion: Items, sign: float) -> list[Term]:
    """What is drawn: the difference of the sums where the weights are the same, else both ratios."""
    if np.array_equal(candidate.weights, champion.weights):
        return [(sign * (candidate.sums - champion.sums), candidate.weights)]
    return [(sign * candidate.sums, candidate.weights), (-sign * champion.sums, champion.weights)]


def _grouped(values: Array) -> Array:
    """Sums over runs of neighbours, at most MOST_UNITS; neighbours in name are unrelated items."""
    if len(values) <= MOST_UNITS:
        return values.astype(np.float64)
    starts = np.linspace(0, len(values), MOST_UNITS, endpoint=False).astype(np.int64)
    return np.add.reduceat(values.astype(np.float64), starts)


def _require_same(candidate: Items, champion: Items) -> None:
    ids, others = set(candidate.names), set(champion.names)
    if ids == others:
        return
    raise ValueError(
        f"the champion has not been measured on these items ({len(ids - others)} of the candidate's "
        f"{len(ids)} are missing, {len(others - ids)} are others): measure the champion's model on today's "
        f"items first"
    )
