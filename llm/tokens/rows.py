"""How token shards are cut into training rows of T positions: two packings, one interface.

Shards are read as if they lay end to end, by pools (a source's shards, say) that no row crosses.
A position holds a token and learns the next one. With documents `a b c $` and `d e $`, `$` the
token that closes each, and T = 4:

    concat      tokens   a b c $                the next row would need two tokens after `e $`
                targets  b c $ d
                segments 1 1 1 2                with a document mask

    best_fit    tokens   $ a b c     $ d e 0
                targets  a b c $     d e $ -100
                segments 1 1 1 1     1 1 1 0

A position belongs to the document of its target: what opens a document is the `$` that closed the
one before, as in evaluation and in writing, where `$` starts every text. Segments number a row's
documents from 1; positions of different segments do not see each other; 0 is padding.

concat: window i of a pool of N tokens is `stream[i*T : i*T + T + 1]`; there are (N - 1) // T of
them, and all tokens but the first and the last few are learned once an epoch.
best_fit: documents whole, those of more than T tokens in pieces of T, in as few rows as best fit
finds; every token is learned once an epoch.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np

from llm.tokens.order import Integers
from llm.tokens.packing import best_fit
from llm.tokens.shards import Shard, Tokens

IGNORE = -100
FILLING = 0  # the token at padding: any will do, no position sees or learns it


class TokenRows(NamedTuple):
    """Rows to train on, all (rows, T) int64; see the module's example. segments None: one each."""

    tokens: Integers
    targets: Integers
    segments: Integers | None


class Stream:
    """Shards end to end, as zero-copy views; places are counted over all of them."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = [shard for shard in shards if len(shard.tokens)]
        self._tokens = [shard.tokens for shard in self.shards]
        self.starts = list(accumulate((len(tokens) for tokens in self._tokens), initial=0))

    def __len__(self) -> int:
        """Tokens in all shards."""
        return self.starts[-1]

    def documents(self) -> Integers:
        """Where documents begin, and where the last one ends: (documents + 1,), ascending."""
        begins = [
            shard.offsets[:-1] + start
            for shard, start in zip(self.shards, self.starts, strict=False)
        ]
        return np.concatenate([*begins, np.array([len(self)])]).astype(np.int64)

    def runs(self, begins: Integers, length: int) -> Integers:
        """The `length` tokens from each of `begins` on, over the ends of shards: (n, length) int64.

        A slice for each row: one gather for all rows of a shard wins only from some 64 rows on.
        """
        result = np.empty((len(begins), length), dtype=np.int64)
        for row, begin in zip(result, begins.tolist(), strict=True):
            shard = bisect_right(self.starts, begin) - 1
            local = begin - self.starts[shard]
            piece = self._tokens[shard][local : local + length]
            row[: len(piece)] = piece
            filled = len(piece)
            while filled < length:
                shard += 1
                piece = self._tokens[shard][: length - filled]
                row[filled : filled + len(piece)] = piece
                filled += len(piece)
        return result

    def opened(self, begin: int, length: int) -> Tokens:
        """`length` tokens from `begin` on, within a shard, after the one before them: (length + 1,).

        Before a shard's first token comes its last: either closes a document and opens the next.
        """
        shard = bisect_right(self.starts, begin) - 1
        tokens, local = self._tokens[shard], begin - self.starts[shard]
        if local:
            return tokens[local - 1 : local + length]
        return np.concatenate([tokens[-1:], tokens[:length]])


class Rows(Protocol):
    """Rows of some pools, numbered pool after pool.

    counts: rows by pool; learned: tokens that an epoch of them learns, by pool.
    """

    counts: list[int]
    learned: list[int]

    def read(self, numbers: Integers) -> TokenRows:
        """The rows of these numbers, in this order."""


class ConcatRows:
    """Documents end to end, cut every T tokens; with a mask, segments keep them apart."""

    def __init__(
        self, stream: Stream, pools: Sequence[int], context_length: int, document_mask: bool
    ) -> None:
        """pools: where each begins in the stream, and where the last one ends."""
        self.stream, self.context_length = stream, context_length
        sizes = np.diff(pools).tolist()
        self.counts = [max(0, size - 1) // context_length for size in sizes]
        self.learned = [count * context_length for count in self.counts]
        self._firsts = np.array(list(accumulate(self.counts, initial=0)))
        self._pools = np.array(pools)
        self._documents = stream.documents() if document_mask else None

    def read(self, numbers: Integers) -> TokenRows:
        owners = np.searchsorted(self._firsts, numbers, side="right") - 1
        begins = self._pools[owners] + (numbers - self._firsts[owners]) * self.context_length
        windows = self.stream.runs(begins, self.context_length + 1)
        return TokenRows(windows[:, :-1], windows[:, 1:], self._segments(begins))

    def _segments(self, begins: Integers) -> Integers | None:
        if self._documents is None:
            return None
        result = np.zeros((len(begins), self.context_length), dtype=np.int64)
        # A document that begins with a row's first target is the row's first in any case.
        first = np.searchsorted(self._documents, begins + 1, side="right")
        last = np.searchsorted(self._documents, begins + self.context_length, side="right")
        rows, inside = _ranges(last - first)
        result[rows, self._documents[first[rows] + inside] - begins[rows] - 1] = 1
        return np.cumsum(result, axis=1) + 1


class BestFitRows:
    """Documents whole, as many to a row as fit, apart from each other."""

    def __init__(self, stream: Stream, pools: Sequence[int], context_length: int) -> None:
        """pools: where each begins in the stream, and where the last one ends."""
        self.stream, self.context_length = stream, context_length
        documents = stream.documents()
        sizes = np.diff(documents)
        owners, inside = _ranges(-(-sizes // context_length))
        begins = documents[owners] + inside * context_length
        lengths = np.minimum(context_length, documents[owners + 1] - begins)
        cuts = np.searchsorted(begins, pools)
        rows, starts = np.empty_like(begins), np.empty_like(begins)
        self.counts: list[int] = []
        for first, end in zip(cuts.tolist(), cuts[1:].tolist(), strict=False):
            here = slice(first, end)
            rows[here], starts[here] = best_fit(lengths[here], context_length)
            count = int(rows[here].max()) + 1 if end > first else 0
            rows[here] += sum(self.counts)
            self.counts.append(count)
        self.learned = np.diff(pools).tolist()
        order = np.lexsort((starts, rows))
        self._begins, self._lengths, self._starts = begins[order], lengths[order], starts[order]
        self._firsts = np.searchsorted(rows[order], np.arange(sum(self.counts) + 1))

    def read(self, numbers: Integers) -> TokenRows:
        shape = (len(numbers), self.context_length)
        tokens, targets = np.full(shape, FILLING), np.full(shape, IGNORE)
        segments = np.zeros(shape, dtype=np.int64)
        rows, inside = _ranges(self._firsts[numbers + 1] - self._firsts[numbers])
        pieces = self._firsts[numbers[rows]] + inside
        columns = (rows, inside, self._starts[pieces], self._begins[pieces], self._lengths[pieces])
        for row, member, start, begin, length in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            piece, span = self.stream.opened(begin, length), slice(start, start + length)
            tokens[row, span], targets[row, span] = piece[:-1], piece[1:]
            segments[row, span] = member + 1
        return TokenRows(tokens, targets, segments)


def _ranges(lengths: Integers) -> tuple[Integers, Integers]:
    """Ranges of these lengths one after the other: which range, and the place in it."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)
    return owners, np.arange(len(owners)) - (ends - lengths)[owners]
