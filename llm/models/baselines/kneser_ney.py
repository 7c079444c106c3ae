"""Interpolated modified Kneser-Ney n-grams over token ids, counted by sorting.

Chen and Goodman, An Empirical Study of Smoothing Techniques (1998), section 4. After a context of
the k tokens c_k .. c_1 (c_1 is the nearest) the next token w has the probability

    p(w | c_k..c_1) = (a(c_k..c_1 w) - D(a)) / a(c_k..c_1 *) + g(c_k..c_1) p(w | c_{k-1}..c_1)

a counts occurrences for the longest context and, for shorter ones, the different tokens that were
seen before c_k..c_1 w. g is what the discounts D took from the context; below the empty context
stands 1 / vocabulary. A context that was never seen leaves the shorter one's probability as it is.
Before a document's first token stands `start`, as often as the context is long.

An n-gram is a number, its place among the sorted keys of its length; its key is made of the number
of the n-gram that lacks its first token, and that token:

    (c_2 c_1 w) → place of [place of [place of [w] * V + c_1] * V + c_2]

so keys fit 64 bits for every order and vocabulary, and what precedes an n-gram is all keys that
begin with its number. Contexts are numbered likewise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
# Discounts of counts 1, 2 and 3 or more where a text is too small to estimate them.
SMALL_TEXT = (0.5, 1.0, 1.5)
SCORED_AT_ONCE = 1 << 20  # tokens: bounds the memory for look-ups


@dataclass(frozen=True)
class _Order:
    """All n-grams of one length, and their contexts. Keys are sorted.

    keys (U,), counts (U,): each n-gram, and a of it. contexts (C,), totals (C,), left (C,): each
    context, the sum of a over what follows it, and g. discounts (4,): by min(a, 3).
    """

    keys: Array
    counts: Array
    contexts: Array
    totals: Array
    left: Array
    discounts: Array


class KneserNey:
    """p(token | up to order - 1 tokens before it in its document)."""

    def __init__(
        self, order: int, vocabulary: int, tokens: Array, lengths: Array, start: int
    ) -> None:
        """Count `tokens` (N,), documents of `lengths` (D,) tokens one after the other.

        Raises ValueError for an impossible order, and where there is no token.
        """
        if order < 1:
            raise ValueError(f"an n-gram's order is at least 1, not {order}")
        if not len(tokens):
            raise ValueError("an n-gram model needs at least one token of training text")
        self.order, self.vocabulary, self.start = order, vocabulary, start
        nothing = np.zeros(len(tokens), dtype=np.int32)
        contexts = _Numbered(np.zeros(1, dtype=np.int64), nothing, np.zeros(1, dtype=np.int64))
        grams = self._number(nothing, tokens)
        self.orders: list[_Order] = []
        for length in range(order):
            if length == order - 1:
                counts = np.bincount(grams.numbers)
                self.orders.append(_discounted(grams, counts, contexts))
                break
            before = _before(tokens, lengths, length + 1, start)
            longer = self._number(grams.numbers, before)
            counts = np.bincount(longer.keys // vocabulary, minlength=len(grams.keys))
            self.orders.append(_discounted(grams, counts, contexts))
            grams, contexts = longer, self._number(contexts.numbers, before)

    def nats(self, tokens: Array, lengths: Array) -> Array:
        """-ln p of each token (N,) of documents of `lengths` (D,) tokens: (N,) float64."""
        befores = [_before(tokens, lengths, back, self.start) for back in range(1, self.order)]
        result = np.empty(len(tokens))
        for first in range(0, len(tokens), SCORED_AT_ONCE):
            span = slice(first, first + SCORED_AT_ONCE)
            probabilities = self._probabilities(tokens[span], [before[span] for before in befores])
            result[span] = -np.log(probabilities)
        return result

    def distribution(self, before: Sequence[int]) -> Array:
        """The probability of each token after `before`, the document's tokens so far: (V,)."""
        context = [self.start] * (self.order - 1) + list(before)
        befores = [np.full(self.vocabulary, context[-back]) for back in range(1, self.order)]
        return self._probabilities(np.arange(self.vocabulary), befores)

    def _probabilities(self, tokens: Array, befores: Sequence[Array]) -> Array:
        """p of each token (N,); befores[k]: the token k + 1 places before each, (N,)."""
        probability = np.full(len(tokens), 1 / self.vocabulary)
        contexts = np.zeros(len(tokens), dtype=np.int64)
        grams = contexts
        for length, level in enumerate(self.orders):
            added = befores[length - 1] if length else tokens
            grams = self._find(level.keys, grams, added)
            if length:
                contexts = self._find(level.contexts, contexts, added)
            counts = np.where(grams >= 0, level.counts[grams], 0)
            kept = counts - level.discounts[np.minimum(counts, 3)]
            smoothed = kept / level.totals[contexts] + level.left[contexts] * probability
            probability = np.where(contexts >= 0, smoothed, probability)
        return probability

    def _number(self, parents: Array, added: Array) -> "_Numbered":
        """Number the n-grams that are made of n-grams `parents` (N,) and a token before each."""
        keys = parents * np.int64(self.vocabulary) + added
        order = np.argsort(keys)
        keys = keys[order]
        new = np.concatenate([[True], keys[1:] != keys[:-1]])
        numbers = np.empty(len(keys), dtype=np.int32)
        numbers[order] = np.cumsum(new, dtype=np.int32) - 1
        return _Numbered(keys[new], numbers, order[new])

    def _find(self, keys: Array, parents: Array, added: Array) -> Array:
        """The numbers of n-grams, -1 where they, or already their parents, were never seen."""
        wanted = parents * self.vocabulary + added
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((parents >= 0) & (keys[places] == wanted), places, -1)


class _Numbered(NamedTuple):
    """keys (U,), sorted; numbers (N,): which key each position has; example (U,): a position."""

    keys: Array
    numbers: Array
    example: Array


def _before(tokens: Array, lengths: Array, back: int, start: int) -> Array:
    """The token `back` places before each in its document, (N,); `start` where there is none."""
    lengths = np.asarray(lengths, dtype=np.int64)
    place = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    shifted = np.roll(tokens, back)
    shifted[place < back] = start
    return shifted


def _discounted(grams: _Numbered, counts: Array, contexts: _Numbered) -> _Order:
    """The n-grams of one length with what is discounted from them and left to shorter ones."""
    discounts = discounts_of(counts)
    owner = contexts.numbers[grams.example]
    size = len(contexts.keys)
    totals = np.bincount(owner, weights=counts, minlength=size)
    taken = np.bincount(owner, weights=discounts[np.minimum(counts, 3)], minlength=size)
    return _Order(
        keys=grams.keys,
        counts=counts.astype(np.int32),
        contexts=contexts.keys,
        totals=totals,
        left=taken / totals,
        discounts=discounts,
    )


def discounts_of(counts: Array) -> Array:
    """What is taken from counts of 0, 1, 2, and 3 or more: (4,).

    Chen and Goodman, equation 26: from how many n-grams have counts of 1 to 4. SMALL_TEXT where
    one of these is missing or a discount would be negative.
    """
    one, two, three, four = (int((counts == times).sum()) for times in range(1, 5))
    if min(one, two, three, four) > 0:
        share = one / (one + 2 * two)
        found = (
            1 - 2 * share * two / one,
            2 - 3 * share * three / two,
            3 - 4 * share * four / three,
        )
        if min(found) >= 0:
            return np.array([0.0, *found])
    return np.array([0.0, *SMALL_TEXT])
