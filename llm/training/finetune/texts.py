"""Whole texts as training rows, several to a row, with what is to be said of each.

Rows are filled best fit, longest text first, and texts in a row do not see each other (segments). A
split's folder holds arrays that are mapped when rows are read:

    tokens.npy   ids of all texts, one after the other       offsets.npy  where each begins (N + 1)
    second.npy   where the second text of a pair begins (N)   plan.npy     row, first place, text (3, N)
    targets.npy  class numbers (N) or values (N, outputs)     weights.npy  how much each text counts (N)
    ledger.npy   what became of each text (`ledger`)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.durable import replacing
from llm.tokens.marked import Marked
from llm.tokens.packing import best_fit
from llm.tokens.rows import FILLING
from llm.tokens.shards import token_type
from llm.training.batch import Batch, Integers
from llm.training.finetune.ledger import Ledger

LIBRARIES = ("numpy",)

Array = np.ndarray[Any, np.dtype[Any]]
NAMES = ("tokens", "offsets", "second", "plan", "targets", "weights")
NOWHERE = -1.0  # the weight where a row has no further text


def write(
    folder: Path,
    texts: Iterable[Marked],
    targets: Array,
    weights: Array,
    row_length: int,
    vocabulary: int,
) -> dict[str, int]:
    """Write a split's folder; what was packed, for the manifest. The same texts give the same bytes."""
    pieces, seconds, cut = [], [], 0
    ledger = Ledger()
    for one in texts:
        ledger.add(None, len(one.ids) + one.cut, len(one.ids))
        pieces.append(np.array(one.ids, token_type(vocabulary)))
        seconds.append(one.second)
        cut += one.cut > 0
    ledger.write(folder)
    lengths = np.array([len(one) for one in pieces], np.int64)
    rows, starts = best_fit(lengths, row_length)
    order = np.lexsort((starts, rows))
    arrays = {
        "tokens": np.concatenate(pieces) if pieces else np.empty(0, token_type(vocabulary)),
        "offsets": np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        "second": np.array(seconds, np.int32),
        "plan": np.stack([rows[order], starts[order], order]).astype(np.uint32),
        "targets": targets,
        "weights": weights.astype(np.float32),
    }
    for name, array in arrays.items():
        with replacing(folder / f"{name}.npy") as aside, aside.open("wb") as stream:
            np.save(stream, array)
    return {
        "examples": len(pieces),
        "rows": int(rows.max(initial=-1)) + 1,
        "tokens": int(lengths.sum()),
        "too_long": cut,
    }


@dataclass(frozen=True)
class Reading:
    """How a model reads rows. types: whether token types mark the second text of a pair.

    start: for an encoder-decoder, the token at which its decoder says something of each text; None for others.
    """

    types: bool
    start: int | None = None


class TextRows:
    """The rows that `write` wrote, mapped: the processes of a machine share their memory."""

    def __init__(self, folder: Path, reading: Reading) -> None:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES}
        self._tokens, self._offsets, self._second = (arrays[name] for name in NAMES[:3])
        rows, self._starts, self._texts = arrays["plan"]
        self._targets, self._weights = arrays["targets"], arrays["weights"]
        self.reading = reading
        sizes = np.diff(self._offsets)[self._texts.astype(np.int64)]
        self.length = int((self._starts + sizes).max(initial=1))
        """Of the longest row (tokens)."""
        self._count = int(rows[-1]) + 1 if len(rows) else 0
        self._firsts = np.searchsorted(rows, np.arange(self._count + 1))

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    def examples(self, number: int) -> list[int]:
        """The texts in a row, by their numbers as they were written, from left to right."""
        found: list[int] = self._texts[self._members(number)].tolist()
        return found

    def owners(self, number: int) -> Mapping[str, Integers]:
        """Of each array of a row, which of its texts each place belongs to: 1, 2, ...; 0: none."""
        owner = np.zeros(self.length, np.int64)
        texts = self.examples(number)
        starts = self._starts[self._members(number)].tolist()
        for count, (start, text) in enumerate(zip(starts, texts, strict=True), start=1):
            owner[start : start + int(self._offsets[text + 1] - self._offsets[text])] = count
        each = np.arange(1, len(texts) + 1)
        found = {"targets": each, "weights": each}
        if self.reading.start is None:
            return {**found, "tokens": owner, "segments": owner, "types": owner}
        read = {"sources": owner, "source_segments": owner}
        return {**found, **read, "tokens": each, "segments": each}

    def _members(self, number: int) -> slice:
        return slice(int(self._firsts[number]), int(self._firsts[number + 1]))

    def read(self, numbers: Integers) -> Batch:
        """The rows of these numbers, in this order, no longer than the longest of them."""
        members = [np.arange(self._firsts[number], self._firsts[number + 1]) for number in numbers]
        texts = [self._texts[one].astype(np.int64) for one in members]
        sizes = [self._offsets[one + 1] - self._offsets[one] for one in texts]
        shape = (len(numbers), int(max(size.sum() for size in sizes)))
        tokens, segments, types = (
            np.full(shape, FILLING),
            np.zeros(shape, int),
            np.zeros(shape, int),
        )
        most = max(map(len, texts))
        weights = np.full((len(numbers), most), NOWHERE, np.float32)
        targets = np.zeros((len(numbers), most, *self._targets.shape[1:]), self._targets.dtype)
        for row, (chosen, places) in enumerate(zip(texts, members, strict=True)):
            for segment, (text, start) in enumerate(
                zip(chosen.tolist(), self._starts[places].tolist(), strict=True), start=1
            ):
                ids = self._tokens[self._offsets[text] : self._offsets[text + 1]]
                tokens[row, start : start + len(ids)] = ids
                segments[row, start : start + len(ids)] = segment
                types[row, start + int(self._second[text]) : start + len(ids)] = 1
            targets[row, : len(chosen)] = self._targets[chosen]
            weights[row, : len(chosen)] = self._weights[chosen]
        learned = np.maximum(weights, 0).sum(1)
        arrays = {**self._inputs(tokens, segments, types, weights), "targets": targets}
        return Batch({**arrays, "weights": weights}, learned)

    def _inputs(
        self, tokens: Integers, segments: Integers, types: Integers, weights: Array
    ) -> dict[str, Array]:
        if self.reading.start is None:
            found = {"tokens": tokens, "segments": segments}
            return {**found, "types": types} if self.reading.types else found
        there = weights != NOWHERE
        return {
            "tokens": np.full(there.shape, self.reading.start),
            "segments": np.where(there, np.arange(1, there.shape[1] + 1), 0),
            "sources": tokens,
            "source_segments": segments,
        }
