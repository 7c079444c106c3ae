"""Unigram language model (Kudo 2018) over bytes: tokens with probabilities, the likeliest split.

Learned here and not by Hugging Face's trainer: that one goes through its words in the order of a hash
table whose seed is drawn again in every process, so that its sums differ in their last bits and tokens
that are as likely change places, with one thread, too.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, models

from llm.tokens.lattice import BYTES, Lattices
from llm.tokens.patterns import PATTERNS, bytes_shown, cut_into_bytes
from llm.tokens.pieces import PieceCounts, Texts, count_pieces
from llm.tokens.substrings import common_substrings

LIBRARIES = ("numpy", "tokenizers")

Array = np.ndarray[Any, np.dtype[Any]]

# SentencePiece's constants (google/sentencepiece, trainer_spec and unigram_model_trainer.cc).
SEEDS = 1_000_000
ROUNDS = 2  # of EM between two prunings
KEPT = 0.75  # of the tokens, by a pruning
SPARE = 1.1  # times the vocabulary: what prunings leave, for the last choice by probability
LEAST = 0.5  # expected count of a token that stays

MOST_BYTES = 16_000_000


def train_unigram(
    texts: Iterable[Texts],
    vocabulary: int,
    pattern: str,
    special_tokens: Sequence[str],
    workers: int = 2,
) -> Tokenizer:
    """Learn a Unigram vocabulary (arXiv 1804.10959) from texts or lists of texts.

    Every byte is a token, so every text has an encoding and comes back unchanged. Ids: special
    tokens, then tokens by probability; fewer than `vocabulary` where the text has no more. The order
    of texts does not matter, and the same texts give the same file, byte for byte. Of the different
    pieces that the pattern cuts, the commonest are learned from, MOST_BYTES in all.
    """
    pieces = _commonest(count_pieces(texts, pattern, workers))
    learned = learn_tokens(*pieces, vocabulary - len(special_tokens))
    shown = bytes_shown()
    spelled = [("".join(shown[byte] for byte in token), score) for token, score in learned]
    # No pattern leaves a special token in one piece, so that its score is never read.
    tokenizer = Tokenizer(models.Unigram([*((name, 0.0) for name in special_tokens), *spelled]))
    cut_into_bytes(tokenizer, PATTERNS[pattern])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in special_tokens])
    return tokenizer


def _commonest(found: PieceCounts) -> tuple[Array, Array, Array]:
    """Pieces in an order of their own, the commonest first: bytes, bounds and counts."""
    text, bounds, counts = found.data.tobytes(), found.starts.tolist(), found.counts.tolist()
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    ranked = sorted(zip(counts, pieces, strict=True), key=lambda one: (-one[0], one[1]))
    ends = np.cumsum([0, *(len(piece) for _, piece in ranked)])
    size = int(np.searchsorted(ends, MOST_BYTES, side="right")) - 1
    data = np.frombuffer(b"".join(piece for _, piece in ranked[:size]), np.uint8)
    return data, ends[: size + 1], np.array([count for count, _ in ranked[:size]], np.int64)


def learn_tokens(data: Array, bounds: Array, counts: Array, size: int) -> list[tuple[bytes, float]]:
    """The `size` tokens, or fewer, that make pieces likeliest, with ln of their probabilities.

    data: bytes of all pieces, which lie between bounds (pieces + 1,), each counts (pieces,) times.
    From the commonest substrings on, expectation maximisation gives tokens their probabilities, and
    those are taken away without which the text stays likeliest. The 256 bytes stay always.
    """
    seeds = common_substrings(data, bounds, counts, SEEDS)
    lattices = Lattices(data, bounds, counts, seeds)
    singles = np.bincount(data, np.repeat(counts, np.diff(bounds)), BYTES)
    covered = np.concatenate([np.maximum(singles, LEAST), seeds.counts * seeds.lengths])
    scores = np.log(covered) - np.log(covered.sum())
    enough = int(size * SPARE)
    while True:
        for _ in range(ROUNDS):
            expected = lattices.expected_counts(scores)
            stays = expected >= LEAST
            stays[:BYTES] = True
            lattices.keep(stays)
            total = max(expected[stays].sum(), LEAST)
            # Less than its share for what is rare, a prior for few tokens (Liang and Klein 2007).
            scores = digamma(np.maximum(expected[stays], LEAST)) - digamma(total)
        if len(scores) <= enough:
            break
        best = lattices.best_counts(scores)
        losses = lattices.losses(scores, best)
        losses[best == 0] = -np.inf
        losses[:BYTES] = np.inf
        order = np.argsort(-losses, kind="stable")
        used = int(np.count_nonzero(losses > -np.inf))
        stays = np.zeros(len(scores), bool)
        stays[order[: min(used, max(enough, int(len(scores) * KEPT)))]] = True
        lattices.keep(stays)
        scores = scores[stays]
    ranked = [(-scores[token], lattices.spelled(token), token) for token in range(len(scores))]
    others = sorted(ranked[BYTES:])[: max(0, size - BYTES)]
    return [(spelled, -float(cost)) for cost, spelled, _ in sorted(ranked[:BYTES] + others)]


def digamma(x: Array | float) -> Array:
    """The derivative of ln gamma(x), for x > 0 (Abramowitz and Stegun 6.3.5 and 6.3.18)."""
    shifted = sum(1 / (x + number) for number in range(10))
    y = np.asarray(x) + 10.0
    z = y**-2
    result: Array = np.log(y) - 0.5 / y - z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z / 240)))
    return result - shifted
