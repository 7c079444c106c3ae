"""Training batches from memory-mapped token shards, as a pure function of (seed, step).

The shards' streams are read as if they lay end to end and cut into windows of `context_length`
tokens, each read with the one token that follows it: window i of N tokens and length T is
`stream[i*T : i*T + T + 1]`, there are (N - 1) // T of them, and every token but the first is
predicted exactly once. An epoch is all windows in an order of its own. Nothing is remembered
from step to step, so resuming at a step is asking for that step.

Worked example: 11 tokens 0..10, T = 4 gives the windows [0 1 2 3 4] and [4 5 6 7 8]; with 3
sequences a batch, step 0 holds both windows of epoch 0 and the first of epoch 1.

Where sources have weights, each source's shards are a stream of their own, and an epoch has
round(weight * windows) windows of each. A source's windows come in epochs of its own that run on
from one epoch of the mix into the next: at weight 0.5, every window is read once in two of them.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from llm.step import BadInput
from llm.tokens.shards import Shard

Integers = np.ndarray[Any, np.dtype[np.int64]]
ROUNDS = 6  # Feistel rounds; four already mix fully, two more cost nothing next to the gather
BLOCK = 1 << 14  # positions of the order that are worked out at once


def _mix(values: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches all others."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def permuted(positions: Integers, size: int, seed: int, epoch: int) -> Integers:
    """Where `positions` (all < size) go in the permutation of range(size) of this seed and epoch.

    A Feistel network over the next even number of bits, walked until it falls inside the range
    (Black and Rogaway 2002): no table of `size` numbers in every process, and the order does not
    hang on a library's random generator.
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


class _Part(NamedTuple):
    """What is read as one stream: a source's shards, or all of them where no weight is set."""

    begin: int  # its first token among those of all parts
    windows: int
    share: int  # windows of it in an epoch
    seed: int


class Batches:
    """Batches of windows over the train shards at `paths`, in the order given.

    mix: how often a source's windows are read for each time those of a source of weight 1 are;
    sources that it does not name have weight 1. Where all have, windows run from one source into
    the next as if there was no mix.

    tokens: tokens in all shards; windows: windows an epoch; by_source: the same by source, empty
    where no weight is set;
    steps_per_epoch: windows / sequences, fractional: a batch runs on into the next epoch.
    Raises BadInput when the shards hold less than one window, or not what the mix names.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        context_length: int,
        sequences: int,
        seed: int,
        mix: Mapping[str, float] | None = None,
    ) -> None:
        opened = [Shard.open(path) for path in paths]
        shards = [shard for shard in opened if len(shard.tokens)]
        groups, self._mixed = {"": shards}, False
        if mix:
            named = _by_source(shards)
            _check_names(mix, named)
            self._mixed = any(mix.get(name, 1) != 1 for name in named)
            groups = named if self._mixed else groups
        self._streams = [shard.tokens for group in groups.values() for shard in group]
        self._starts = list(accumulate((len(stream) for stream in self._streams), initial=0))
        self.tokens = self._starts[-1]
        self.context_length, self.sequences, self.seed = context_length, sequences, seed
        self._parts: list[_Part] = []
        begin = 0
        for name, group in groups.items():
            size = sum(len(shard.tokens) for shard in group)
            windows = max(0, size - 1) // context_length
            share = round((mix or {}).get(name, 1) * windows)
            self._parts.append(_Part(begin, windows, share, _seed_of(name, seed)))
            begin += size
        self._firsts = list(accumulate((part.windows for part in self._parts), initial=0))
        self._bounds = list(accumulate((part.share for part in self._parts), initial=0))
        self.windows = self._bounds[-1]
        self.by_source = (
            {name: part.share for name, part in zip(groups, self._parts, strict=True)}
            if self._mixed
            else {}
        )
        if not self._firsts[-1]:
            raise BadInput(
                f"the training split has {self.tokens} tokens, fewer than one window of "
                f"{context_length + 1}: crawl more, lower model.context_length, or loosen clean.filters"
            )
        if not self.windows:
            raise BadInput(
                "pretrain.mix leaves out every source that has a window: give one of "
                f"{', '.join(groups)} more weight"
            )
        self.steps_per_epoch = self.windows / sequences
        self._block: tuple[tuple[int, int], Integers] | None = None

    def windows_of(self, step: int, start: int = 0, stop: int | None = None) -> Integers:
        """Which windows rows start to stop of a step read (all rows by default), as indices."""
        first = step * self.sequences
        rows = range(first + start, first + (self.sequences if stop is None else stop))
        found: list[Integers] = []
        position = rows.start
        while position < rows.stop:  # one turn for each block of an epoch's order that is touched
            epoch, inside = divmod(position, self.windows)
            number, offset = divmod(inside, BLOCK)
            order = self._order(epoch, number)
            taken = order[offset : offset + rows.stop - position]
            found.append(taken)
            position += len(taken)
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> Integers:
        """Rows start to stop of a step's batch (all by default): (rows, context_length + 1) int64.

        Inputs are `[:, :-1]`, targets `[:, 1:]`.
        """
        windows = self.windows_of(step, start, stop).tolist()
        result = np.empty((len(windows), self.context_length + 1), dtype=np.int64)
        for row, window in zip(result, windows, strict=True):
            number = bisect_right(self._firsts, window) - 1
            inside = window - self._firsts[number]
            self._read(self._parts[number].begin + inside * self.context_length, row)
        return result

    def _order(self, epoch: int, number: int) -> Integers:
        """Block `number` of an epoch's order; the last one asked for is kept."""
        if self._block is None or self._block[0] != (epoch, number):
            positions = np.arange(number * BLOCK, min((number + 1) * BLOCK, self.windows))
            order = permuted(positions, self.windows, self.seed, epoch)
            self._block = ((epoch, number), self._dealt(order, epoch) if self._mixed else order)
        return self._block[1]

    def _dealt(self, places: Integers, epoch: int) -> Integers:
        """Which windows are read at these places of an epoch of the mix, before it is shuffled."""
        result = np.empty_like(places)
        owners = np.searchsorted(self._bounds, places, side="right") - 1
        for number in np.unique(owners).tolist():
            part = self._parts[number]
            rows = np.flatnonzero(owners == number)
            turns = epoch * part.share + places[rows] - self._bounds[number]
            epochs, inside = np.divmod(turns, part.windows)
            for own in np.unique(epochs).tolist():
                now = epochs == own
                order = permuted(inside[now], part.windows, part.seed, own)
                result[rows[now]] = self._firsts[number] + order
        return result

    def _read(self, begin: int, row: Integers) -> None:
        """Fill `row` from the token at `begin` on, over the ends of shards where need be.

        A slice for each row: one gather for all rows of a shard wins only from some 64 rows on.
        """
        shard = bisect_right(self._starts, begin) - 1
        filled = 0
        while filled < len(row):
            local = begin + filled - self._starts[shard]
            piece = self._streams[shard][local : local + len(row) - filled]
            row[filled : filled + len(piece)] = piece
            filled += len(piece)
            shard += 1


def _by_source(shards: Sequence[Shard]) -> dict[str, list[Shard]]:
    """Shards by the source of their documents, which each has one of."""
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        names = pc.unique(shard.documents["source"]).to_pylist()
        if len(names) != 1:
            raise BadInput(
                f"{shard.path} has documents of {', '.join(sorted(names))}: pretrain.mix needs "
                "shards of one source each"
            )
        found.setdefault(names[0], []).append(shard)
    return dict(sorted(found.items()))


def _check_names(mix: Mapping[str, float], named: Mapping[str, object]) -> None:
    unknown = sorted(mix.keys() - named.keys())
    if unknown:
        raise BadInput(
            f"pretrain.mix names {', '.join(unknown)}: the training split has "
            f"{'documents of ' + ', '.join(named) if named else 'no document'}"
        )


def _seed_of(source: str, seed: int) -> int:
    """A seed of its own for each source: sources of one size would else have one order."""
    return int.from_bytes(blake2b(f"{seed}/{source}".encode(), digest_size=8).digest(), "little")
