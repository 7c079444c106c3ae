"""Figures of a whole corpus, such as BLEU, as ratios of sums over its items, as all figures are.

Such a figure is a function f of the sums S of what is counted in each sentence (n-grams that match,
n-grams that there are), and no mean over sentences. It is the mean of numbers all the same, one a
sentence: f(S) + N * (d f / d S) . s for a sentence with counts s. As f does not change when all counts
are doubled, the second parts add up to nothing (Euler), and their spread is that of f by the delta
method: so intervals and paired comparisons hold for it as for other figures. (BLEU's smoothing of what
never matches does change; what is left of the sum then is taken off.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LIBRARIES = ("numpy", "sacrebleu")

Array = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
_FINE = (
    10_000  # sums are this many times as large when one sentence's counts move f, to find its slope
)


@dataclass(frozen=True)
class CorpusScore:
    """A figure: its value, its parts (N,) whose mean it is, the counts (N, K), and sacrebleu's signature."""

    value: float
    parts: Array
    counts: Integers
    signature: str


def parts_of(value: float, score: Callable[[Integers], float], counts: Integers) -> Array:
    """The numbers whose mean is `value`, score(sums), one a sentence, of its counts (N, K)."""
    total = _FINE * counts.sum(0)
    slopes = [(score(total + one) - score(total - one)) / 2 * _FINE for one in counts]
    found = len(counts) * np.array(slopes)
    parts: Array = value + found - found.mean()
    return parts


def bleu(said: Sequence[str], wanted: Sequence[str]) -> CorpusScore:
    """BLEU, 0 to 100. counts: length said and wanted, then matching 1- to 4-grams, then all of them."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()

    def score(sums: Integers) -> float:
        order = metric.max_ngram_order
        matching, there = sums[2 : 2 + order].tolist(), sums[2 + order :].tolist()
        found = BLEU.compute_bleu(
            matching,
            there,
            int(sums[0]),
            int(sums[1]),
            smooth_method=metric.smooth_method,
            smooth_value=metric.smooth_value,
            max_ngram_order=order,
        )
        return float(found.score)

    return _of(metric, score, said, wanted)


def chrf(said: Sequence[str], wanted: Sequence[str]) -> CorpusScore:
    """chrF2, 0 to 100. counts: for 1 to 6 characters how many n-grams are said, wanted, and match."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()

    def score(sums: Integers) -> float:
        return float(metric._compute_f_score(sums.tolist()))

    return _of(metric, score, said, wanted)


def _of(
    metric: Any, score: Callable[[Integers], float], said: Sequence[str], wanted: Sequence[str]
) -> CorpusScore:
    counts = np.array(metric._extract_corpus_statistics(list(said), [list(wanted)]), np.int64)
    value = float(metric.corpus_score(list(said), [list(wanted)]).score)
    parts = parts_of(value, score, counts)
    return CorpusScore(value, parts, counts, str(metric.get_signature()))
