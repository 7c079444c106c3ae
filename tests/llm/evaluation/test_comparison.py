"""Comparing two models on the same items: chance alone is rarely called better."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from llm.evaluation.comparison import compare, difference_bound
from llm.evaluation.result import Items, interval, smallest_difference

# What the comparison of documents gave for these numbers before figures had any name.
RANDOM = np.random.default_rng(7)
SIZES = RANDOM.integers(500, 9000, 40).astype(float)
BITS = SIZES * RANDOM.normal(2.1, 0.3, 40)
BETTER = BITS - SIZES * RANDOM.normal(0.02, 0.01, 40)


def items(sums: np.ndarray, weights: np.ndarray) -> Items:
    return Items(tuple(f"{n:05}" for n in range(len(sums))), sums, weights)


def test_the_values_are_those_that_documents_were_compared_by() -> None:
    found = compare(items(BETTER, SIZES), items(BITS, SIZES), "lower", 0.95)
    assert found.difference == pytest.approx(-0.0187006638, abs=1e-9)
    assert found.bound == pytest.approx(-0.0155222098, abs=1e-9)
    assert interval(items(BITS, SIZES)) == pytest.approx(0.1007599086, abs=1e-9)


def test_the_bound_is_the_normal_one_for_many_documents() -> None:
    random = np.random.default_rng(1)
    bits, sizes = random.normal(-3, 10, 5000), np.full(5000, 100.0)
    difference, bound = difference_bound([(bits, sizes)], 0.95)
    normal = difference + 1.6449 * bits.std(ddof=1) / 100 / np.sqrt(5000)
    assert bound == pytest.approx(normal, rel=0.05)
    assert difference_bound([(bits, sizes)], 0.95) == (difference, bound)


def test_chance_alone_is_promoted_no_more_often_than_the_confidence_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm.evaluation.comparison.RESAMPLES", 1000)
    random = np.random.default_rng(2)
    promoted = 0
    for _ in range(300):
        sizes = random.lognormal(7, 1, 25)
        bits = sizes * random.normal(0, 0.02, 25)
        promoted += difference_bound([(bits, sizes)], 0.9)[1] < 0
    # 30 expected; four standard deviations of a binomial are 21.
    assert promoted <= 51


def test_which_way_is_better_only_turns_the_verdict() -> None:
    lower = compare(items(BETTER, SIZES), items(BITS, SIZES), "lower", 0.95)
    higher = compare(items(-BETTER, SIZES), items(-BITS, SIZES), "higher", 0.95)
    assert (lower.verdict, higher.verdict) == ("better", "better")
    assert higher.difference == pytest.approx(-lower.difference)
    assert lower.bound is not None and higher.bound == pytest.approx(-lower.bound)
    worse = compare(items(BETTER, SIZES), items(BITS, SIZES), "higher", 0.95)
    assert worse.verdict == "not better"


def test_items_that_weigh_otherwise_for_each_model_are_compared_by_both_ratios() -> None:
    """Tokens of two tokenizers. Weights that are all doubled halve a figure, and nothing else."""
    random = np.random.default_rng(3)
    one, two = SIZES * random.normal(1, 0.1, 40), SIZES * random.normal(1.2, 0.1, 40)
    found = compare(items(one, SIZES), items(two, SIZES * 1.5), "lower", 0.9)
    assert found.difference == pytest.approx(
        one.sum() / SIZES.sum() - two.sum() / SIZES.sum() / 1.5
    )
    same = compare(items(one, SIZES), items(two / 1.5, SIZES), "lower", 0.9)
    assert found.bound == pytest.approx(same.bound, abs=2e-3)


def test_the_smallest_difference_is_seen_four_times_out_of_five() -> None:
    """By the plain test of a mean, in draws that differ by just so much."""
    random, count, spread = np.random.default_rng(4), 200, 0.3
    least = smallest_difference(spread / math.sqrt(count), confidence=0.95)
    seen = 0
    for _ in range(1000):
        differences = random.normal(-least, spread, count)
        seen += differences.mean() / (differences.std(ddof=1) / math.sqrt(count)) < -1.6449
    # 800 expected; four standard deviations of a binomial are 51.
    assert abs(seen - 800) <= 51
    z = NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.8)
    assert least == pytest.approx(z * spread / math.sqrt(count))
