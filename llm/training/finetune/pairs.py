"""Pairs of a source and a target as training rows of an encoder-decoder, packed several to a row.

A pair takes as many places of a row as its longer side has, on both sides, best fit, longest first.
Targets see the targets before them and the source of their own pair (segments). Worked example, rows of
8, pairs of 4 and 3, and of 2 and 4 tokens; `_` is what targets start from, `#` the end of one:

    sources          a a a a b b - -        tokens    _ x x - _ y y y
    source_segments  1 1 1 1 2 2 0 0        targets   x x # - y y y #
                                            segments  1 1 1 0 2 2 2 2

On disk a pair is one example of `packed`: the source, which is not learned, then the target, which is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llm.durable import replacing
from llm.tokens.packing import best_fit
from llm.tokens.rows import IGNORE
from llm.tokens.shards import token_type
from llm.training.batch import Batch, Integers
from llm.training.finetune.ledger import Ledger
from llm.training.finetune.packed import Counts, Files, Tokens, TokenWriter, write_plan

LIBRARIES = ("numpy", "pyarrow")

SHORTEST = 32  # places of a row, where the context has as many


@dataclass(frozen=True)
class Pair:
    """One pair: ids of the source, and of the target with what ends it.

    origin: the number in its shard of the example that it was made of (from 0); None: each is one.
    """

    source: Sequence[int]
    target: Sequence[int]
    origin: int | None = None


def write(
    files: Files,
    pairs: Iterable[Pair],
    context_length: int,
    vocabulary: int,
    long: Literal["dropped", "cut"],
) -> Counts:
    """Pack pairs into rows as long as the longest of them, and at least SHORTEST, if the context has room.

    Of one with a side that is longer than the context, the source keeps its end and the target its
    beginning, or all of it is dropped; `too_long` says how many there were. A side without tokens
    leaves nothing to learn. The same pairs in the same order give the same rows.
    """
    lengths: list[int] = []
    ledger = Ledger()
    learned = too_long = empty = 0
    with replacing(files.tokens) as aside, TokenWriter(aside, token_type(vocabulary)) as writer:
        for pair in pairs:
            source, target = pair.source, pair.target
            given = len(source) + len(target)
            if max(len(source), len(target)) > context_length:
                too_long += 1
                if long == "dropped":
                    ledger.add(pair.origin, given, 0)
                    continue
                source, target = source[-context_length:], target[:context_length]
            there = len(source) and len(target)
            ledger.add(pair.origin, given, len(source) + len(target) if there else 0)
            if not there:
                empty += 1
                continue
            learned += len(target)
            lengths.append(max(len(source), len(target)))
            writer.add([*source, *target], [False] * len(source) + [True] * len(target))
    ledger.write(files.folder)
    row_length = max(min(SHORTEST, context_length), max(lengths, default=1))
    rows, starts = best_fit(np.array(lengths, dtype=np.int64), row_length)
    count = write_plan(files.plan, rows, starts)
    return Counts(len(lengths), too_long, empty, count, learned)


class PackedPairs:
    """The rows that `write` wrote, mapped: the processes of a machine share their memory."""

    def __init__(self, files: Files, context_length: int, padding: int, start: int) -> None:
        """padding: the id that fills what is empty; start: what stands before each target."""
        self.padding, self.start = padding, start
        self._tokens = Tokens(files.tokens)
        rows, self._starts, self._pairs = np.load(files.plan, mmap_mode="r")
        self._count = int(rows[-1]) + 1 if len(rows) else 0
        self._firsts = np.searchsorted(rows, np.arange(self._count + 1))
        # The longest stands first in the first row.
        longest = max(map(len, self.pair(int(self._pairs[0])))) if self._count else 1
        self.length = max(min(SHORTEST, context_length), longest)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self._pairs)

    def pair(self, number: int) -> tuple[Integers, Integers]:
        """The ids of a pair's source and target, by its number as the pairs were given."""
        ids, learn = self._tokens.example(number)
        begin = len(learn) - int(learn.sum())
        return ids[:begin], ids[begin:]

    def examples(self, number: int) -> list[int]:
        """The pairs in a row, by their numbers as they were written, from left to right."""
        found: list[int] = self._pairs[self._members(number)].tolist()
        return found

    def owners(self, number: int) -> Mapping[str, Integers]:
        """Of each array of a row, which of its pairs each place belongs to: 1, 2, ...; 0: none."""
        source, target = np.zeros((2, self.length), np.int64)
        begins = self._starts[self._members(number)].tolist()
        for count, (begin, one) in enumerate(zip(begins, self.examples(number), strict=True), 1):
            for owner, ids in zip((source, target), self.pair(one), strict=True):
                owner[begin : begin + len(ids)] = count
        read = {"sources": source, "source_segments": source}
        return {**read, "tokens": target, "targets": target, "segments": target}

    def _members(self, number: int) -> slice:
        return slice(int(self._firsts[number]), int(self._firsts[number + 1]))

    def read(self, numbers: Integers) -> Batch:
        """The rows of these numbers, in this order."""
        shape = (len(numbers), self.length)
        tokens, targets = np.full(shape, self.padding), np.full(shape, IGNORE)
        sources = np.full(shape, self.padding)
        segments, source_segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, number in enumerate(numbers.tolist()):
            members = self._members(number)
            columns = (column[members].tolist() for column in (self._starts, self._pairs))
            for segment, (begin, one) in enumerate(zip(*columns, strict=True), start=1):
                source, target = self.pair(one)
                span = slice(begin, begin + len(target))
                tokens[row, begin] = self.start
                tokens[row, begin + 1 : span.stop] = target[:-1]
                targets[row, span] = target
                segments[row, span] = segment
                span = slice(begin, begin + len(source))
                sources[row, span] = source
                source_segments[row, span] = segment
        return Batch.of(
            tokens=tokens,
            targets=targets,
            segments=segments,
            sources=sources,
            source_segments=source_segments,
        )
