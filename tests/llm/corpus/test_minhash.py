"""Shingles and bands: exact sets, true Jaccard, and the candidates that theory promises."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from llm.corpus.minhash import band_keys, jaccard, shingles


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


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_bands_catch_pairs_as_often_as_theory_says(similarity: float) -> None:
    # FineWeb's 14 bands of 8 rows: 77 % at 0.75, 92 % at 0.8 (Penedo et al. 2024).
    rng = np.random.default_rng(int(similarity * 100))
    size, pairs = 200, 1500
    shared = round(2 * size * similarity / (1 + similarity))
    sets = []
    for _ in range(pairs):
        both = rng.integers(0, 2**63, 2 * size - shared, dtype=np.uint64)
        sets += [np.sort(both[:size]), np.sort(both[size - shared :])]
    true = shared / (2 * size - shared)
    keys = band_keys(sets, 14, 8)
    caught = (keys[0::2] == keys[1::2]).any(axis=1).mean()
    expected = 1 - (1 - true**8) ** 14
    assert caught == pytest.approx(
        expected, abs=3.5 * (expected * (1 - expected) / pairs) ** 0.5 + 0.005
    )


def test_keys_do_not_depend_on_the_company() -> None:
    rng = np.random.default_rng(0)
    sets = [np.sort(rng.integers(0, 2**63, n, dtype=np.uint64)) for n in (1, 5, 40_000, 3, 70_000)]
    together = band_keys(sets, 4, 3)
    for index, one in enumerate(sets):
        assert np.array_equal(band_keys([one], 4, 3)[0], together[index])
