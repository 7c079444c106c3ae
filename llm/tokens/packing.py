"""Best-fit packing: pieces of text into rows of one length, whole, with as few rows as it takes.

Best-fit decreasing: the longest first, each into the fullest row that still has room for it, else
into a new row; it needs at most 11/9 of the fewest possible rows (Johnson 1974), and on text hardly
any more at all (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"). Worked example,
rows of 8, pieces of 3, 6, 2 and 4:

    row 0: the 6, then the 2        row 1: the 4, then the 3, one place empty
"""

from bisect import bisect_left, insort
from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.int64]]


def best_fit(lengths: Integers, capacity: int) -> tuple[Integers, Integers]:
    """Where pieces of these lengths (each 1 to capacity) go: row and first place in it, by piece.

    Among pieces of one length the first comes first, among rows of equal room the lowest number, so
    the result depends on the lengths alone. All pieces of one length are placed together: the cost is
    that of sorting, whatever their number. Raises ValueError for a length out of bounds.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if len(lengths) and not 1 <= lengths.min() <= lengths.max() <= capacity:
        raise ValueError(
            f"lengths from {lengths.min()} to {lengths.max()} do not all fit rows of {capacity}: "
            "cut what is longer, leave out what is empty"
        )
    order = np.argsort(-lengths, kind="stable")
    rows, starts = np.empty_like(lengths), np.empty_like(lengths)
    open_rows = _OpenRows(capacity)
    sizes, counts = np.unique(lengths, return_counts=True)
    first = 0
    for size, count in zip(sizes[::-1].tolist(), counts[::-1].tolist(), strict=True):
        end = first + count
        while first < end:
            # A row that takes a piece is now the fullest with room, so it takes all it can hold.
            chosen, room = open_rows.take(size, end - first)
            each = room // size
            pieces = order[first : min(end, first + each * len(chosen))]
            number = np.arange(len(pieces))
            rows[pieces] = chosen[number // each]
            starts[pieces] = capacity - room + number % each * size
            whole, rest = divmod(len(pieces), each)
            open_rows.put(chosen[:whole], room - each * size)
            open_rows.put(chosen[whole:], room - rest * size)
            first += len(pieces)
    return rows, starts


class _OpenRows:
    """Rows by the room that they have left."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.made = 0
        self.rooms: list[int] = []  # those that some row has, ascending
        self.by_room: dict[int, Integers] = {}

    def take(self, size: int, pieces: int) -> tuple[Integers, int]:
        """Rows of the least room that holds `size`, at most as many as `pieces` fill; their room."""
        place = bisect_left(self.rooms, size)
        if place == len(self.rooms):
            number = -(-pieces // (self.capacity // size))
            self.made += number
            return np.arange(self.made - number, self.made), self.capacity
        room = self.rooms.pop(place)
        found = np.sort(self.by_room.pop(room))
        number = -(-pieces // (room // size))
        self.put(found[number:], room)
        return found[:number], room

    def put(self, rows: Integers, room: int) -> None:
        """Give rows back that have this much room now."""
        if not len(rows) or not room:
            return
        if room in self.by_room:
            self.by_room[room] = np.concatenate([self.by_room[room], rows])
        else:
            insort(self.rooms, room)
            self.by_room[room] = rows
