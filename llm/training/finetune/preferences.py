"""Preferences as training rows: both conversations of a pair at the same places of two rows.

A pair takes as many places as its longer conversation has, on both sides, best fit, longest first, so
that a pass sees both of it whatever its rows are. On each side a conversation sees itself alone (segments).
Worked example, rows of 8, conversations of 5 and 3, and of 2 and 4 tokens (n - 1 positions each):

    chosen    a a a a b - - -        rejected    a a - - b b b -
    segments  1 1 1 1 2 0 0 0                    1 1 0 0 2 2 2 0

On disk each side is a file of examples as `packed` has them, with one plan for both. What the reference
model makes of each pair comes from a file of its own (`reference`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.durable import replacing
from llm.tokens.packing import best_fit
from llm.tokens.shards import token_type
from llm.training.batch import REJECTED, Batch, Integers
from llm.training.finetune.ledger import Ledger
from llm.training.finetune.packed import Encoded, Files, Packed, TokenWriter, write_plan

LIBRARIES = ("numpy", "pyarrow")

PLAN = "rows.npy"
REFERENCE = "reference.npy"
SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Counts:
    """What was packed. too_long: pairs with a conversation beyond the context, which are left out."""

    examples: int
    too_long: int
    rows: int
    learned_tokens: int


def write(
    folder: Path,
    pairs: Iterable[tuple[Encoded, Encoded]],
    context_length: int,
    vocabulary: int,
) -> Counts:
    """Pack pairs of conversations, chosen and rejected, into as few rows as best fit does.

    A pair with one that is longer than context_length + 1 tokens is left out whole: half an answer is
    no worse than the other. The same pairs in the same order give the same rows.
    """
    lengths: list[int] = []
    ledger = Ledger()
    learned = too_long = 0
    dtype = token_type(vocabulary)
    with (
        replacing(folder / "chosen.arrow") as chosen_aside,
        replacing(folder / "rejected.arrow") as rejected_aside,
        TokenWriter(chosen_aside, dtype) as chosen_writer,
        TokenWriter(rejected_aside, dtype) as rejected_writer,
    ):
        for origin, (chosen, rejected) in enumerate(pairs):
            longest = max(len(chosen.ids), len(rejected.ids)) - 1
            for side in (chosen, rejected):
                ledger.add(origin, len(side.ids), 0 if longest > context_length else len(side.ids))
            if longest > context_length:
                too_long += 1
                continue
            lengths.append(longest)
            learned += sum(chosen.learn[1:]) + sum(rejected.learn[1:])
            chosen_writer.add(chosen.ids, chosen.learn)
            rejected_writer.add(rejected.ids, rejected.learn)
    ledger.write(folder)
    rows, starts = best_fit(np.array(lengths, dtype=np.int64), context_length)
    return Counts(len(lengths), too_long, write_plan(folder / PLAN, rows, starts), learned)


class PreferenceRows:
    """The rows that `write` wrote, mapped: the processes of a machine share their memory."""

    def __init__(
        self, folder: Path, context_length: int, padding: int, reference: Path | None = None
    ) -> None:
        """padding: the id that fills what is empty. reference: -ln p of each pair's answers, (pairs, 2)."""
        self.length = context_length
        self._sides = [
            Packed(Files(folder / f"{side}.arrow", folder / PLAN), context_length, padding)
            for side in SIDES
        ]
        rows, _, self.pairs = np.load(folder / PLAN, mmap_mode="r")
        self._firsts = np.searchsorted(rows, np.arange(len(self) + 1))
        self._most = int(np.diff(self._firsts).max(initial=1))
        self._reference: Any = None if reference is None else np.load(reference, mmap_mode="r")

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._sides[0])

    def read(self, numbers: Integers) -> Batch:
        """The rows of these numbers, in this order; `reference` is NaN where a row has no more pairs."""
        chosen, rejected = (side.read(numbers) for side in self._sides)
        reference = np.full((len(numbers), self._most, 2), np.nan, np.float32)
        counts = np.zeros(len(numbers))
        for row, number in enumerate(numbers.tolist()):
            pairs = self.pairs_of(number)
            counts[row] = len(pairs)
            reference[row, : len(pairs)] = 0 if self._reference is None else self._reference[pairs]
        arrays = {**chosen.arrays, "reference": reference}
        arrays |= {f"{REJECTED}{name}": array for name, array in rejected.arrays.items()}
        return Batch(arrays, counts)

    def pairs_of(self, number: int) -> Integers:
        """Which pairs stand in a row, in the order of their segments."""
        found: Integers = self.pairs[int(self._firsts[number]) : int(self._firsts[number + 1])]
        return found.astype(np.int64)

    def examples(self, number: int) -> list[int]:
        """The pairs of a row by their numbers: entry 2 n is the chosen side of pair n, the next its other."""
        found: list[int] = self.pairs_of(number).tolist()
        return found

    def owners(self, number: int) -> Mapping[str, Integers]:
        """Of each array of a row, which of its pairs each place belongs to: 1, 2, ...; 0: none."""
        chosen, rejected = (side.owners(number) for side in self._sides)
        of_pairs = np.zeros(self._most, np.int64)
        count = len(self.pairs_of(number))
        of_pairs[:count] = np.arange(1, count + 1)
        others = {f"{REJECTED}{name}": owner for name, owner in rejected.items()}
        return {**chosen, **others, "reference": of_pairs}
