"""BLEU and chrF as means of one number a sentence: sacrebleu's values, and the spread of drawing again."""

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
import sacrebleu

from llm.evaluation.corpus_scores import CorpusScore, bleu, chrf
from llm.evaluation.result import interval, items_of, rows

WORDS = ("der", "die", "das", "ein", "Haus", "Hund", "geht", "l\u00e4uft", "heute", "sehr", "gut")
Metric = Callable[[Sequence[str], Sequence[str]], CorpusScore]
METRICS: list[tuple[Metric, Callable[..., sacrebleu.metrics.base.Score]]] = [
    (bleu, sacrebleu.corpus_bleu),
    (chrf, sacrebleu.corpus_chrf),
]


def translations(count: int, right: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences of random words, and the same with a share of their words right."""
    random = Random(seed)
    wanted = [" ".join(random.choices(WORDS, k=random.randint(3, 12))) for _ in range(count)]
    said = [
        " ".join(word if random.random() < right else random.choice(WORDS) for word in one.split())
        for one in wanted
    ]
    return said, wanted


@pytest.mark.parametrize(("metric", "theirs"), METRICS)
def test_the_value_is_sacrebleus_and_the_mean_of_the_parts(metric: Metric, theirs: Metric) -> None:
    said, wanted = translations(150, 0.7)
    found = metric(said, wanted)
    assert found.value == theirs(said, [wanted]).score  # type: ignore[attr-defined, list-item]
    assert found.parts.mean() == pytest.approx(found.value, abs=1e-9)
    assert found.signature.startswith("nrefs:1|case:mixed")


@pytest.mark.parametrize(("metric", "theirs"), METRICS)
def test_the_interval_is_that_of_corpora_drawn_again(metric: Metric, theirs: Metric) -> None:
    said, wanted = translations(200, 0.7)
    found = metric(said, wanted)
    names = [f"{number:03}" for number in range(200)]
    table = rows("figure", names, [""] * 200, found.parts.tolist(), [1.0] * 200)
    random, drawn = Random(1), []
    for _ in range(200):
        chosen = random.choices(range(200), k=200)
        texts = [[side[number] for number in chosen] for side in (said, wanted)]
        drawn.append(theirs(texts[0], [texts[1]]).score)  # type: ignore[attr-defined, list-item]
    assert interval(items_of(table)) == pytest.approx(1.96 * np.std(drawn), rel=0.15)


@pytest.mark.parametrize(("metric", "theirs"), METRICS)
def test_sentences_that_match_in_nothing_have_a_value_too(metric: Metric, theirs: Metric) -> None:
    for said, wanted in ((["", "xyz"], ["Haus", "Hund"]), (["ein Hund"], ["ein Haus"])):
        found = metric(said, wanted)
        assert found.value == theirs(said, [wanted]).score  # type: ignore[attr-defined, list-item]
        assert np.isfinite(found.parts).all()
        assert found.parts.mean() == pytest.approx(found.value)
