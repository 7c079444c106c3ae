"""The packer against the algorithm as the books have it, one piece at a time."""

import numpy as np
import pytest

from llm.tokens.packing import best_fit


def one_by_one(lengths, capacity):
    """Best-fit decreasing, looking at every row for every piece: (row, start) by piece."""
    free, found = [], {}
    for piece in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        fitting = [(room, row) for row, room in enumerate(free) if room >= lengths[piece]]
        if fitting:
            room, row = min(fitting)
        else:
            room, row = capacity, len(free)
            free.append(room)
        found[piece] = (row, capacity - room)
        free[row] -= lengths[piece]
    return [found[piece] for piece in range(len(lengths))]


@pytest.mark.parametrize("capacity", [1, 2, 7, 16, 100, 257])
@pytest.mark.parametrize("count", [0, 1, 5, 60, 600])
def test_pieces_go_where_placing_them_one_by_one_puts_them(capacity, count):
    random = np.random.default_rng(capacity * 1000 + count)
    for lengths in (
        random.integers(1, capacity + 1, count),
        np.minimum(capacity, random.geometric(0.1, count)),
    ):
        rows, starts = best_fit(lengths, capacity)
        assert list(zip(rows.tolist(), starts.tolist(), strict=True)) == one_by_one(
            lengths.tolist(), capacity
        )


def test_the_worked_example():
    rows, starts = best_fit(np.array([3, 6, 2, 4]), 8)
    assert (rows.tolist(), starts.tolist()) == ([1, 0, 0, 1], [4, 0, 6, 0])


def test_documents_of_many_lengths_fill_their_rows_to_a_hair():
    lengths = np.random.default_rng(0).lognormal(6, 1, 200_000).astype(np.int64) % 1024 + 1
    rows, _ = best_fit(lengths, 1024)
    filled = np.bincount(rows, weights=lengths)
    assert filled.max() <= 1024
    assert lengths.sum() / (1024 * len(filled)) > 0.999


@pytest.mark.parametrize("length", [0, 9])
def test_a_length_out_of_bounds_is_refused(length):
    with pytest.raises(ValueError, match="do not all fit rows of 8: cut what is longer"):
        best_fit(np.array([3, length]), 8)
