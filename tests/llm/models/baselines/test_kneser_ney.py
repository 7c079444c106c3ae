"""Kneser-Ney against the paper's formula counted with dictionaries, and against a floor on real text."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm.models.baselines.kneser_ney import SMALL_TEXT, KneserNey, discounts_of

VOCABULARY, START = 7, 6


def documents(count: int, seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        steps = random.choice([0, 1, 1, 1, 2, 4], size=random.integers(1, 40))
        made.append([*(np.cumsum(steps) % (VOCABULARY - 2)).tolist(), START])
    return made


def fitted(order: int, text: Sequence[Sequence[int]]) -> KneserNey:
    tokens = np.concatenate([np.array(one, dtype=np.uint16) for one in text])
    return KneserNey(order, VOCABULARY, tokens, np.array([len(one) for one in text]), START)


class Dictionaries:
    """The definitions, word for word: counts, continuation counts, discounts, recursion."""

    def __init__(self, order: int, text: Sequence[Sequence[int]]) -> None:
        self.order = order
        grams: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for document in text:
            padded = [START] * (order - 1) + list(document)
            for end in range(order, len(padded) + 1):
                for size in range(1, order + 1):
                    grams[size][tuple(padded[end - size : end])] += 1
        self.counts: list[dict[tuple[int, ...], int]] = [{} for _ in range(order + 1)]
        self.counts[order] = dict(grams[order])
        for size in range(1, order):
            preceding = defaultdict(set)
            for gram in grams[size + 1]:
                preceding[gram[1:]].add(gram[0])
            self.counts[size] = {gram: len(found) for gram, found in preceding.items()}
        self.discounts = [[0.0] * 4 for _ in range(order + 1)]
        for size in range(1, order + 1):
            of = Counter(self.counts[size].values())
            y = of[1] / (of[1] + 2 * of[2]) if of[1] else 0.0
            if all(of[times] for times in (1, 2, 3, 4)):
                found = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
            else:
                found = [-1.0]
            self.discounts[size] = [0.0, *(found if min(found) >= 0 else SMALL_TEXT)]

    def probability(self, word: int, context: tuple[int, ...]) -> float:
        size = len(context) + 1
        lower = self.probability(word, context[1:]) if context else 1 / VOCABULARY
        after = {gram: n for gram, n in self.counts[size].items() if gram[:-1] == context}
        if not after:
            return lower
        total = sum(after.values())
        taken = sum(self.discounts[size][min(n, 3)] for n in after.values())
        count = after.get((*context, word), 0)
        return (count - self.discounts[size][min(count, 3)] + taken * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [2, 60])
def test_probabilities_are_those_of_the_formula_counted_with_dictionaries(
    order: int, count: int
) -> None:
    text, unseen = documents(count, seed=1), documents(5, seed=2)
    model, reference = fitted(order, text), Dictionaries(order, text)
    tokens = np.concatenate([np.array(one, dtype=np.uint16) for one in unseen])
    nats = model.nats(tokens, np.array([len(one) for one in unseen]))
    expected = []
    for document in unseen:
        padded = [START] * (order - 1) + document
        for place, word in enumerate(document):
            context = tuple(padded[place : place + order - 1])
            expected.append(-math.log(reference.probability(word, context)))
    np.testing.assert_allclose(nats, expected, rtol=1e-12)


def test_a_bigram_by_hand() -> None:
    # "a b", "a b", "a c" as 0 1, 0 1, 0 2, each from its own start 6. Too small to estimate
    # discounts: 0.5, 1 and 1.5 of counts 1, 2 and 3. Bigrams: 6 0 three times, 0 1 twice, 0 2 once.
    model = fitted(2, [[0, 1], [0, 1], [0, 2]])
    # One token was seen before each of a, b and c: below, each has (1 - 0.5) / 3 and the base.
    b = 0.5 / 3 + (3 * 0.5 / 3) / VOCABULARY
    assert model.distribution([0])[1] == pytest.approx((2 - 1) / 3 + (1 + 0.5) / 3 * b)
    assert model.distribution([1])[1] == pytest.approx(b)  # nothing ever followed b


@pytest.mark.parametrize("before", [[], [0], [5], [0, 1, 2, 3], [5, 5, 5, 5, 5]])
def test_probabilities_sum_to_one_over_the_vocabulary(before: list[int]) -> None:
    model = fitted(4, documents(30, seed=3))
    distribution = model.distribution(before)
    assert distribution.sum() == pytest.approx(1)
    assert (distribution > 0).all()


def test_discounts_are_chen_and_goodmans() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [100, 40, 20, 10, 3])
    y = 100 / 180
    expected = [0, 1 - 2 * y * 0.4, 2 - 3 * y * 0.5, 3 - 4 * y * 0.5]
    np.testing.assert_allclose(discounts_of(counts), expected)


def test_an_impossible_order_and_no_text_are_said() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        fitted(0, [[1]])
    with pytest.raises(ValueError, match="at least one token"):
        fitted(2, [[]])


@pytest.mark.real_data
def test_tinyshakespeare_characters_are_well_below_a_witten_bell_5_gram(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()
    ids = np.unique(list(text), return_inverse=True)[1].astype(np.uint16)
    split, start = int(len(ids) * 0.9), int(ids.max()) + 1
    train, held_out = ids[:split], ids[split:]
    bits = {}
    for order in (5, 7):
        model = KneserNey(order, start + 1, train, np.array([len(train)]), start)
        bits[order] = model.nats(held_out, np.array([len(held_out)])).mean() / math.log(2)
    assert bits[5] < 2.26  # Witten-Bell, order 5: 2.408 bits per character
    assert bits[7] < 2.19
