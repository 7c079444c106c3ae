"""Counts, durations and sizes as people write them."""

import pytest

from llm.words import counted, duration, size


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 pages"), (1, "1 page"), (2, "2 pages"), (2_000, "2,000 pages")]
)
def test_a_noun_has_the_number_of_its_count(count: int, said: str) -> None:
    assert counted(count, "page") == said


def test_a_plural_of_its_own_is_given() -> None:
    assert [counted(count, "process", "processes") for count in (1, 2)] == [
        "1 process",
        "2 processes",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (109, "1 min 49 s"),
        (3599.6, "1 h"),
        (31_541, "8 h 45 min"),
        (100 * 3600, "4 d 4 h"),
        (86_400 + 59, "1 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_are_in_units_that_fit() -> None:
    counts = (0, 1, 12, 999_499, 9_828_923, 2 * 10**12)
    assert [size(count) for count in counts] == [
        "0 bytes",
        "1 byte",
        "12 bytes",
        "999 kB",
        "9.83 MB",
        "2 TB",
    ]
