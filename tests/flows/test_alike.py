"""Calls that are shown together."""

from flows.alike import READABLE, alike


def test_only_more_than_can_be_read_are_shown_together() -> None:
    few, many = ["a"] * READABLE, ["b"] * (READABLE + 1)
    rows = list(alike([*few, *many, "a"], lambda item: item))
    assert rows == [*([one] for one in few), many, ["a"]]
    assert sum(map(len, rows)) == len(few) + len(many) + 1
