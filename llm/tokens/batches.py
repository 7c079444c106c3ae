"""Training batches from memory-mapped token shards, as a pure function of (seed, step).

Shards are cut into rows of `context_length` positions (llm.tokens.rows says how); an epoch is all
rows in an order of its own. Nothing is remembered from step to step, so resuming at a step is
asking for that step, and any number of processes may share a step's rows among them.

Worked example: 11 tokens 0..10 and rows of 4 give the windows [0 1 2 3 4] and [4 5 6 7 8]; with 3
sequences a batch, step 0 holds both windows of epoch 0 and the first of epoch 1.

Where sources have weights, each source's shards are a pool of their own, and an epoch has
round(weight * rows) rows of each, dealt evenly: after any number of rows, each source has had its
share to within a few rows. A pool's rows come in epochs of its own that run on from one epoch of
the mix into the next: at weight 0.5, every row is read once in two of them.

Replay puts shards of earlier runs beside the new ones: at 0.25, 900 new rows are dealt with 300
earlier ones. Both keep to the weights of their sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from llm.step import BadInput
from llm.tokens.batches_settings import Packing
from llm.tokens.order import Integers, dealt, in_epochs, seed_of
from llm.tokens.rows import BestFitRows, ConcatRows, Rows, Stream, TokenRows
from llm.tokens.shards import Shard

BLOCK = 1 << 14  # places of the order that are worked out at once


class NoRow(BadInput):
    """What is new in the shards makes no row to train on."""


@dataclass(frozen=True)
class _Pool:
    """Shards whose rows have an order of their own: a source's, or all where no weight is set."""

    source: str  # "" where sources are not kept apart
    replayed: bool
    weight: float
    seed: int
    shards: Sequence[Shard]


class Batches:
    """Batches of rows over the train shards at `paths`, in the order given.

    mix: how often a source's documents are read for each time those of a source of weight 1 are;
    sources that it does not name have weight 1. Where all have, windows run from one source into
    the next as if there was no mix.
    packing, document_mask: see llm.tokens.rows; best_fit keeps documents apart in any case.
    earlier, replay: the share (0 to below 1) of the tokens that these shards give.

    tokens: tokens in the shards at `paths`; windows: rows an epoch; by_source: the same by source,
    empty where sources are not kept apart; learned: tokens that an epoch learns; padding: positions
    an epoch that hold no token;
    steps_per_epoch: windows / sequences, fractional: a batch runs on into the next epoch.
    Raises NoRow when the shards hold less than one window, BadInput when not what the mix names.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        context_length: int,
        sequences: int,
        seed: int,
        mix: Mapping[str, float] | None = None,
        *,
        packing: Packing = "concat",
        document_mask: bool = False,
        earlier: Sequence[Path] = (),
        replay: float = 0.0,
    ) -> None:
        self.context_length, self.sequences, self.seed = context_length, sequences, seed
        self._pools = _pools(paths, earlier, replay, seed, mix or {})
        self._rows = _cut(self._pools, context_length, packing, document_mask)
        self._firsts = list(accumulate(self._rows.counts, initial=0))
        new = sum(not pool.replayed for pool in self._pools)
        self.tokens = sum(len(shard.tokens) for pool in self._pools[:new] for shard in pool.shards)
        if not self._firsts[new]:
            raise NoRow(
                f"the training split has {self.tokens} tokens, fewer than one window of "
                f"{context_length + 1}: crawl more, lower model.context_length, or loosen clean.filters"
            )
        self._shares = _shares(self._pools, self._rows, replay)
        self.windows = sum(self._shares)
        if not self.windows:
            raise NoRow(
                "pretrain.mix leaves out every source that has a window: give one of "
                f"{', '.join(pool.source for pool in self._pools)} more weight"
            )
        self.learned = round(sum(self._learned(self._shares)))
        self.padding = self.windows * context_length - self.learned
        self.by_source: dict[str, int] = {}
        for pool, share in zip(self._pools, self._shares, strict=True):
            if pool.source:
                self.by_source[pool.source] = self.by_source.get(pool.source, 0) + share
        self.steps_per_epoch = self.windows / sequences
        self._block: tuple[tuple[int, int], Integers] | None = None

    def windows_of(self, step: int, start: int = 0, stop: int | None = None) -> Integers:
        """Which rows a step reads, as numbers; from `start` to `stop` of its batch (default: all)."""
        first = step * self.sequences
        position, end = first + start, first + (self.sequences if stop is None else stop)
        found: list[Integers] = []
        while position < end:  # one turn for each block of an epoch's order that is touched
            epoch, inside = divmod(position, self.windows)
            number, offset = divmod(inside, BLOCK)
            taken = self._order(epoch, number)[offset : offset + end - position]
            found.append(taken)
            position += len(taken)
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> TokenRows:
        """Rows start to stop of a step's batch (all by default)."""
        return self._rows.read(self.windows_of(step, start, stop))

    def learned_by_source(self, steps: int) -> dict[str, float]:
        """Tokens that the first `steps` steps learn, by source; to within a few rows."""
        epochs = steps * self.sequences / self.windows
        return _by_source(self._pools, [epochs * one for one in self._learned(self._shares)])

    def replayed(self, steps: int) -> float:
        """How many of the tokens that the first `steps` steps learn are from earlier shards."""
        learned = zip(self._pools, self._learned(self._shares), strict=True)
        epoch = sum(tokens for pool, tokens in learned if pool.replayed)
        return epoch * steps * self.sequences / self.windows

    def epoch_by_source(self) -> dict[str, float]:
        """Tokens that reading every row of the shards at `paths` once learns, by source."""
        new = [pool for pool in self._pools if not pool.replayed]
        return _by_source(new, self._rows.learned[: len(new)])

    def _learned(self, rows: Sequence[int]) -> list[float]:
        """Tokens that this many rows of each pool learn."""
        each = zip(rows, self._rows.learned, self._rows.counts, strict=True)
        return [number * learned / max(1, count) for number, learned, count in each]

    def _order(self, epoch: int, number: int) -> Integers:
        """Block `number` of an epoch's order; the last one asked for is kept."""
        if self._block is None or self._block[0] != (epoch, number):
            inside = np.arange(number * BLOCK, min((number + 1) * BLOCK, self.windows))
            owners, turns = dealt(epoch * self.windows + inside, self._shares)
            order = np.empty_like(turns)
            for pool in np.unique(owners).tolist():
                here = owners == pool
                count, seed = self._rows.counts[pool], self._pools[pool].seed
                order[here] = self._firsts[pool] + in_epochs(turns[here], count, seed)
            self._block = ((epoch, number), order)
        return self._block[1]


def _pools(
    paths: Sequence[Path],
    earlier: Sequence[Path],
    replay: float,
    seed: int,
    mix: Mapping[str, float],
) -> list[_Pool]:
    """The pools, new ones first; by source only where a weight asks for it."""
    shards = [[Shard.open(path) for path in group] for group in (paths, earlier)]
    named = [_shards_by_source(group) if mix else {} for group in shards]
    names = sorted({name for group in named for name in group})
    _check_names(mix, names)
    mixed = any(mix.get(name, 1) != 1 for name in names)
    pools = []
    for replayed in (False, True) if replay else (False,):
        for name, group in (named[replayed] if mixed else {"": shards[replayed]}).items():
            # Each pool has a seed of its own: pools of one size would else have one order.
            label = f"{name}/replayed" if replayed else name
            own = seed_of(seed, label) if label else seed
            pools.append(_Pool(name, replayed, mix.get(name, 1), own, group))
    return pools


def _cut(
    pools: Sequence[_Pool], context_length: int, packing: Packing, document_mask: bool
) -> Rows:
    stream = Stream([shard for pool in pools for shard in pool.shards])
    sizes = (sum(len(shard.tokens) for shard in pool.shards) for pool in pools)
    bounds = list(accumulate(sizes, initial=0))
    if packing == "best_fit":
        return BestFitRows(stream, bounds, context_length)
    return ConcatRows(stream, bounds, context_length, document_mask)


def _shares(pools: Sequence[_Pool], rows: Rows, replay: float) -> list[int]:
    """How many rows of each pool an epoch has."""
    if not 0 <= replay < 1:
        raise BadInput(f"replay is {replay}: it is a share of the tokens, from 0 to below 1")
    shares = [round(pool.weight * count) for pool, count in zip(pools, rows.counts, strict=True)]
    due = [pool.weight * learned for pool, learned in zip(pools, rows.learned, strict=True)]
    new, old = (
        sum(tokens for pool, tokens in zip(pools, due, strict=True) if pool.replayed is replayed)
        for replayed in (False, True)
    )
    if not replay:
        return shares
    if not old:
        raise BadInput(
            f"replay {replay} asks for earlier shards that hold a window: there are none of weight "
            "above 0"
        )
    times = replay / (1 - replay) * new / old
    return [
        round(times * pool.weight * count) if pool.replayed else share
        for pool, count, share in zip(pools, rows.counts, shares, strict=True)
    ]


def _shards_by_source(shards: Sequence[Shard]) -> dict[str, list[Shard]]:
    """Shards by the source of their documents, which each has one of; empty ones belong nowhere."""
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        names = pc.unique(shard.documents["source"]).to_pylist()
        if len(names) > 1:
            raise BadInput(
                f"{shard.path} has documents of {', '.join(sorted(names))}: pretrain.mix needs "
                "shards of one source each"
            )
        if len(shard.tokens):
            found.setdefault(names[0], []).append(shard)
    return dict(sorted(found.items()))


def _check_names(mix: Mapping[str, float], names: Sequence[str]) -> None:
    unknown = sorted(mix.keys() - set(names))
    if unknown:
        raise BadInput(
            f"pretrain.mix names {', '.join(unknown)}: the training split has "
            f"{'documents of ' + ', '.join(names) if names else 'no document'}"
        )


def _by_source(pools: Sequence[_Pool], tokens: Sequence[float]) -> dict[str, float]:
    """`tokens` of pools, by source; those of a pool of many sources by the sources' part in it."""
    found: dict[str, float] = {}
    for pool, number in zip(pools, tokens, strict=True):
        sizes: dict[str, int] = {}
        for shard in pool.shards:
            names = pc.unique(shard.documents["source"]).to_pylist()
            for name in names:
                lengths = np.diff(shard.offsets)
                if len(names) > 1:
                    lengths = lengths[pc.equal(shard.documents["source"], name).to_numpy(False)]
                sizes[name] = sizes.get(name, 0) + int(lengths.sum())
        total = sum(sizes.values())
        for name, size in sizes.items():
            found[name] = found.get(name, 0) + number * size / max(1, total)
    return dict(sorted(found.items()))
