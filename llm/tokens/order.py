"""The order of training data: pure functions of a seed and a place, so nothing is remembered.

Places run on over all epochs: with 3 items, place 4 is the second of epoch 1. Two arrangements are
here: items shuffled again in every epoch, and several kinds of items dealt evenly by their shares.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.int64]]
ROUNDS = 6  # Feistel rounds; four already mix fully, two more cost nothing next to the gather


def _mix(values: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches all others."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def permuted(positions: Integers, size: int, seed: int, epoch: int) -> Integers:
    """Where `positions` (all < size) go in the permutation of range(size) of this seed and epoch.

    A Feistel network over the next even number of bits, walked until it falls inside the range
    (Black and Rogaway 2002): no table of `size` numbers in every process, and the order does not
    depend on a library's random generator.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    start = np.array([seed % (1 << 64), epoch], dtype=np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    root = _mix(start[1:] + _mix(start[:1] + golden))
    keys = _mix(root + golden * np.arange(1, ROUNDS + 1, dtype=np.uint64))
    result = positions.astype(np.uint64)
    outside = np.arange(len(result))
    while len(outside):
        left, right = result[outside] >> half, result[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mix(right + key) & mask)
        result[outside] = (left << half) | right
        outside = outside[result[outside] >= size]
    return result.astype(np.int64)


def seed_of(seed: int, name: str) -> int:
    """A seed for what has this name, that depends on `seed` and no other name's."""
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little")


def in_epochs(places: Integers, size: int, seed: int) -> Integers:
    """Which of `size` items come at `places`: in every epoch all, in an order of its own."""
    epochs, inside = np.divmod(places, size)
    result = np.empty_like(places)
    for epoch in np.unique(epochs).tolist():
        here = epochs == epoch
        result[here] = permuted(inside[here], size, seed, epoch)
    return result


def dealt(places: Integers, shares: Sequence[int]) -> tuple[Integers, Integers]:
    """Whose turn it is at `places`, and which turn of its own: kinds dealt evenly by `shares`.

    An epoch has sum(shares) places, share k of them kind k's. Each kind takes its part of what the
    kinds before it left, as evenly as whole numbers go (Bresenham 1965), so that after any number
    of places every kind has had its due to within its number in the list. Worked example, shares
    2 and 3:

        place  0 1 2 3 4   5 6 7 8 9
        kind   1 1 0 1 0   1 1 0 1 0
        turn   0 1 0 2 1   3 4 2 5 3
    """
    total = sum(shares)
    epochs, left = np.divmod(places, total)
    owners, turns = np.zeros_like(places), np.zeros_like(places)
    here = np.arange(len(places))  # those whose owner is not found yet
    for kind, share in enumerate(shares):
        # Products stay below 2^63 as long as an epoch has fewer than three billion places.
        before, after = left * share // total, (left + 1) * share // total
        mine = after > before
        owners[here[mine]] = kind
        turns[here[mine]] = epochs[here[mine]] * share + before[mine]
        here, left, total = here[~mine], (left - before)[~mine], total - share
        if not len(here):
            break
    return owners, turns
