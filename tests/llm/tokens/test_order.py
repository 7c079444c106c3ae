"""The order of data, against permutations and shares counted out."""

import numpy as np
import pytest

from llm.tokens.order import dealt, in_epochs, permuted


def test_epochs_differ_in_their_order():
    first, second = (permuted(np.arange(1000), 1000, seed=5, epoch=epoch) for epoch in (0, 1))
    assert np.count_nonzero(first == second) < 10
    assert np.count_nonzero(first == np.arange(1000)) < 10


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000, 4096, 40_001])
def test_the_order_is_a_permutation_and_does_not_depend_on_how_it_is_asked(size):
    order = permuted(np.arange(size), size, seed=9, epoch=2)
    assert np.array_equal(np.sort(order), np.arange(size))
    some = np.arange(size)[::-7]
    assert np.array_equal(permuted(some, size, seed=9, epoch=2), order[some])


def test_small_permutations_are_close_to_uniform():
    """All 24 orders of 4 items over 4,800 seeds: chi-squared, 23 degrees, limit at p = 0.001."""
    counts = {}
    for seed in range(4800):
        key = tuple(permuted(np.arange(4), 4, seed=seed, epoch=0).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.73


def test_each_epoch_has_all_items_in_an_order_of_its_own():
    places = np.arange(35)
    order = in_epochs(places, 10, seed=4)
    for epoch in range(4):
        here = order[epoch * 10 : epoch * 10 + 10]
        assert np.array_equal(here, permuted(np.arange(len(here)), 10, seed=4, epoch=epoch))
    assert np.array_equal(in_epochs(places[::-3], 10, seed=4), order[::-3])


def test_kinds_are_dealt_as_the_worked_example_says():
    owners, turns = dealt(np.arange(10), [2, 3])
    assert owners.tolist() == [1, 1, 0, 1, 0, 1, 1, 0, 1, 0]
    assert turns.tolist() == [0, 1, 0, 2, 1, 3, 4, 2, 5, 3]


@pytest.mark.parametrize(
    "shares", [[7], [1, 1, 1, 1], [3, 0, 700, 41, 9], [1000, 1, 1], [0, 5], [13] * 12]
)
def test_after_any_number_of_places_each_kind_has_had_its_due(shares):
    total = sum(shares)
    owners, turns = dealt(np.arange(3 * total), shares)
    for kind, share in enumerate(shares):
        mine = owners == kind
        assert np.array_equal(turns[mine], np.arange(3 * share))  # every turn once, in order
        due = np.arange(1, 3 * total + 1) * share / total
        assert np.abs(np.cumsum(mine) - due).max(initial=0) <= min(kind + 1, 2)
    some = np.arange(3 * total)[::-5]
    for whole, part in zip((owners, turns), dealt(some, shares), strict=True):
        assert np.array_equal(part, whole[::-5])
