"""All ways to split pieces of text into tokens, weighed by the tokens' probabilities: compiled sums.

A piece of n bytes is a lattice of the places 0 to n, with an edge for each token that stands between
two of them. Pieces and edges are gone through in one order always, so that sums have the same bits.
"""

# mypy: disable-error-code="no-untyped-def"
# (the types of compiled functions are numba's)

from collections.abc import Callable
from typing import Any

import numpy as np

from llm.compiled import compiled, inner
from llm.tokens.substrings import Substrings

LIBRARIES = ("numpy",)

Array = np.ndarray[Any, np.dtype[Any]]

BYTES = 256  # the first tokens: each byte is one


class Lattices:
    """The lattices of pieces: data (bytes) between bounds (pieces + 1,), each counts (pieces,) times.

    Tokens are the bytes, then `substrings`. Scores are natural logarithms of probabilities.
    """

    def __init__(self, data: Array, bounds: Array, counts: Array, substrings: Substrings) -> None:
        self.pieces = (data, bounds, counts)
        self.starts = substrings.starts
        self.tokens = substrings.found + np.int32(BYTES)
        self.lengths = np.concatenate([np.ones(BYTES, np.int64), substrings.lengths])
        self.places = np.concatenate([np.zeros(BYTES, np.int64), substrings.places])

    def spelled(self, token: int) -> bytes:
        """A token's bytes."""
        if token < BYTES:
            return bytes([token])
        place = self.places[token]
        return self.pieces[0][place : place + self.lengths[token]].tobytes()

    def keep(self, kept: Array) -> None:
        """Take away the tokens that are not `kept` (tokens,); the others move up. Bytes must stay."""
        numbers = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        self.starts, self.tokens = _renumbered(self.starts, self.tokens, numbers)
        self.lengths, self.places = self.lengths[kept], self.places[kept]

    def expected_counts(self, scores: Array) -> Array:
        """How often each token occurs, on average over all splits by their probability (E step)."""
        return self._call(_expected, scores)

    def best_counts(self, scores: Array) -> Array:
        """How often each token occurs in the likeliest split of each piece."""
        return self._call(_best, scores)

    def losses(self, scores: Array, best_counts: Array) -> Array:
        """By how much the text gets less likely without a token (nats; bytes: 0).

        As in SentencePiece: wherever the token stands in likeliest splits, the likeliest split of
        itself into others takes its place, and their counts rise by its own.
        """
        data, _, _ = self.pieces
        return _losses(
            data, self.starts, self.tokens, self.lengths, self.places, scores, best_counts
        )

    def _call(self, function: Callable[..., Array], scores: Array) -> Array:
        return function(*self.pieces, self.starts, self.tokens, self.lengths, scores)


@compiled
def _renumbered(starts, tokens, numbers):
    now = np.zeros_like(starts)
    kept = np.empty_like(tokens)
    size = 0
    for at in range(len(starts) - 1):
        for edge in range(starts[at], starts[at + 1]):
            if numbers[tokens[edge]] >= 0:
                kept[size] = numbers[tokens[edge]]
                size += 1
        now[at + 1] = size
    return now, kept[:size].copy()


@inner
def _log_of_sum(a, b):
    """ln(exp(a) + exp(b))"""
    if a < b:
        a, b = b, a
    return a + np.log1p(np.exp(b - a)) if b > -np.inf else a


@inner
def _token(data, starts, tokens, at, edge):
    """The token of an edge from position `at`: the one before the first of `tokens` is the byte."""
    return np.int64(data[at]) if edge < starts[at] else np.int64(tokens[edge])


@compiled
def _expected(data, bounds, counts, starts, tokens, lengths, scores):
    expected = np.zeros(len(lengths))
    longest = np.int64(0)
    for piece in range(len(counts)):
        longest = max(longest, bounds[piece + 1] - bounds[piece])
    # ln of the summed probability of all ways to a place, and of all from it to the end.
    before, after = np.empty(longest + 1), np.empty(longest + 1)
    for piece in range(len(counts)):
        first, size = bounds[piece], bounds[piece + 1] - bounds[piece]
        before[: size + 1] = -np.inf
        before[0] = 0.0
        for at in range(size):
            for edge in range(starts[first + at] - 1, starts[first + at + 1]):
                token = _token(data, starts, tokens, first + at, edge)
                to = at + lengths[token]
                before[to] = _log_of_sum(before[to], before[at] + scores[token])
        after[size] = 0.0
        for at in range(size - 1, -1, -1):
            after[at] = -np.inf
            for edge in range(starts[first + at] - 1, starts[first + at + 1]):
                token = _token(data, starts, tokens, first + at, edge)
                rest = scores[token] + after[at + lengths[token]]
                after[at] = _log_of_sum(after[at], rest)
                expected[token] += counts[piece] * np.exp(before[at] + rest - before[size])
    return expected


@inner
def _split(data, first, size, starts, tokens, lengths, scores, without, best, came):
    """Fill came[1:size+1] with the tokens that end at places of the likeliest split of data[first:].

    without: a token that may not be used, or -1.
    """
    best[: size + 1] = -np.inf
    best[0] = 0.0
    for at in range(size):
        for edge in range(starts[first + at] - 1, starts[first + at + 1]):
            token = _token(data, starts, tokens, first + at, edge)
            to = at + lengths[token]
            if to <= size and token != without and best[at] + scores[token] > best[to]:
                best[to], came[to] = best[at] + scores[token], token


@compiled
def _best(data, bounds, counts, starts, tokens, lengths, scores):
    found = np.zeros(len(lengths))
    longest = np.int64(0)
    for piece in range(len(counts)):
        longest = max(longest, bounds[piece + 1] - bounds[piece])
    best, came = np.empty(longest + 1), np.empty(longest + 1, np.int64)
    for piece in range(len(counts)):
        first, size = bounds[piece], bounds[piece + 1] - bounds[piece]
        _split(data, first, size, starts, tokens, lengths, scores, -1, best, came)
        at = size
        while at > 0:
            found[came[at]] += counts[piece]
            at -= lengths[came[at]]
    return found


@compiled
def _losses(data, starts, tokens, lengths, places, scores, counts):
    total = counts.sum()
    losses = np.zeros(len(lengths))
    best, came = np.empty(lengths.max() + 1), np.empty(lengths.max() + 1, np.int64)
    for token in range(BYTES, len(lengths)):
        if counts[token] == 0:
            continue
        size = lengths[token]
        _split(
            data, places[token], size, starts, tokens, lengths, scores, token, best, came
        )  # fmt: skip
        parts = 0
        others = 0.0
        at = size
        while at > 0:
            others += np.log(counts[came[at]] + counts[token])
            parts += 1
            at -= lengths[came[at]]
        others -= parts * np.log(total + counts[token] * (parts - 1))
        losses[token] = counts[token] * (np.log(counts[token]) - np.log(total) - others)
    return losses
