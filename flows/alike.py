"""Calls that come out alike, shown in one line where there are too many to read."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, TypeVar

T = TypeVar("T")
READABLE = 20  # calls of one kind in a row


def alike(items: Iterable[T], kind: Callable[[T], Any]) -> Iterator[list[T]]:
    """Each item alone, but more than READABLE of the same kind in a row together."""
    for _, found in groupby(items, kind):
        row = list(found)
        if len(row) > READABLE:
            yield row
        else:
            yield from ([one] for one in row)
