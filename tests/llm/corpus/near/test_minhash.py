"""Shingles and bands: exact sets, true Jaccard, and the candidates that theory promises."""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm.corpus.near.bands import banding, chance
from llm.corpus.near.minhash import band_keys, jaccard, shingles


def shingle_set(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+(?:(?<=[^\W\d_])['’](?=[^\W\d_])\w+)*", text.lower())
    if len(words) < n:
        return {tuple(words)} if words else set()
    return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}


@pytest.mark.real_data
def test_jaccard_of_hashes_is_jaccard_of_word_sets(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()
    rng = random.Random(5)
    texts = []
    for _ in range(12):
        words = text[(start := rng.randrange(500_000)) : start + 3000].split()
        texts.append(" ".join(words))
        for share in (0.01, 0.05, 0.2):
            texts.append(" ".join(w for w in words if rng.random() > share))
    texts += ["", "one", "one two", "One, two!", "...", "a b c d", "a b c d e"]
    for n in (2, 5):
        sets = shingles(texts, n)
        expected = [shingle_set(one, n) for one in texts]
        assert [len(one) for one in sets] == [len(one) for one in expected]
        for i in range(len(texts)):
            for j in range(0, len(texts), 5):
                union = expected[i] | expected[j]
                true = len(expected[i] & expected[j]) / len(union) if union else 0.0
                assert jaccard(sets[i], sets[j]) == pytest.approx(true, abs=1e-15)


def test_case_and_punctuation_make_no_difference() -> None:
    a, b = shingles(["The quick, brown fox: JUMPS!", "the quick brown fox jumps"], 5)
    assert np.array_equal(a, b)


def of_sets(sets: Sequence[np.ndarray], bands: int, rows: int) -> np.ndarray:
    bounds = np.cumsum([0, *map(len, sets)])
    return band_keys(np.concatenate(sets), bounds, bands, rows)


def alike(rng: np.random.Generator, size: int, similarity: float) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of `size` numbers with this Jaccard similarity."""
    shared = round(2 * size * similarity / (1 + similarity))
    both = rng.permutation(np.unique(rng.integers(0, 2**32, 2 * size - shared + 99, np.uint64)))
    both = both[: 2 * size - shared].astype(np.uint32)
    return np.sort(both[:size]), np.sort(both[size - shared :])


@pytest.mark.parametrize("size", [30, 200, 5000])
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_bands_catch_pairs_as_often_as_theory_says(similarity: float, size: int) -> None:
    # FineWeb's 14 bands of 8 rows: 77 % at 0.75, 92 % at 0.8 (Penedo et al. 2024).
    rng = np.random.default_rng(int(similarity * 100) + size)
    pairs = 250 if size == 5000 else 1500
    keys = of_sets([one for _ in range(pairs) for one in alike(rng, size, similarity)], 14, 8)
    shared = round(2 * size * similarity / (1 + similarity))
    true = shared / (2 * size - shared)
    caught = (keys[0::2] == keys[1::2]).any(axis=1).mean()
    expected = 1 - (1 - true**8) ** 14
    assert chance(true, 14, 8) == expected
    assert caught == pytest.approx(
        expected, abs=3.5 * (expected * (1 - expected) / pairs) ** 0.5 + 0.005
    )


@pytest.mark.parametrize("size", [2, 50, 3000])
def test_a_row_agrees_as_often_as_two_sets_are_alike(size: int) -> None:
    rng = np.random.default_rng(size)
    shared, pairs, rows = size // 2, 400, 112
    sets = []
    for _ in range(pairs):
        both = rng.integers(0, 2**32, 2 * size - shared, dtype=np.uint64).astype(np.uint32)
        sets += [both[:size], both[size - shared :]]
    keys = of_sets(sets, rows, 1)
    agreed = (keys[0::2] == keys[1::2]).mean(axis=1)
    true = shared / (2 * size - shared)
    # Of independent permutations the share of agreeing rows is binomial: mean and spread as it says.
    spread = (true * (1 - true) / rows) ** 0.5
    assert agreed.mean() == pytest.approx(true, abs=4 * spread / pairs**0.5)
    assert agreed.std() == pytest.approx(spread, rel=0.15)


def test_keys_do_not_depend_on_the_company() -> None:
    rng = np.random.default_rng(0)
    sets = [rng.integers(0, 2**32, n, dtype=np.uint32) for n in (1, 5, 40_000, 3, 70_000)]
    together = of_sets(sets, 4, 3)
    for index, one in enumerate(sets):
        assert np.array_equal(of_sets([one], 4, 3)[0], together[index])


def test_similarity_may_come_out_as_nothing_only_below_what_was_asked_for() -> None:
    rng = np.random.default_rng(3)
    for size in (1, 2, 7, 100, 1000):
        for share in (0.0, 0.3, 0.5, 0.79, 0.8, 0.81, 0.95, 1.0):
            a, b = alike(rng, size, share)
            b = b[: rng.integers(0, size + 1)] if share > 0.9 else b
            true = len(np.intersect1d(a, b)) / len(np.union1d(a, b))
            assert jaccard(a, b) == true
            for least in (0.1, 0.8, true or 0.5, 1.0):
                assert jaccard(a, b, least) == (
                    true if true >= least else pytest.approx(true / 2, abs=true / 2)
                )


@pytest.mark.parametrize("similarity", [0.03, 0.1, 0.3, 0.5, 0.6, 0.7, 0.75, 0.79, 0.8, 0.9, 1.0])
def test_bands_are_chosen_so_that_nearly_all_pairs_meet(similarity: float) -> None:
    bands, rows = banding(similarity)
    assert 1 - (1 - similarity**rows) ** bands >= (0.99 if similarity < 0.8 else 0.97)
    assert bands <= 200 and bands * rows <= 500
    assert (bands, rows) == (16, 7) or similarity < 0.8


def test_bands_or_rows_that_are_given_stay_and_the_other_follows() -> None:
    assert banding(0.5, 14, 8) == (14, 8)
    for bands, rows in (banding(0.5, rows=4), banding(0.5, bands=30)):
        assert rows == 4 or bands == 30
        assert 1 - (1 - 0.5**rows) ** bands >= 0.99
    assert banding(1e-80) == (200, 1)
