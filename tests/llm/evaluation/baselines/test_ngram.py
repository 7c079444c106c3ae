"""Byte n-grams: against the definition written out with dictionaries, and a published figure."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from llm.evaluation.baselines import ngram
from llm.evaluation.baselines.ngram import WittenBell

TRAINING = [b"abracadabra", b"a", b"", b"the cat sat on the mat\n" * 3, bytes(range(256))]
HELD_OUT = [b"abba the rat", b"", b"\x00\xff\x00", b"abracadabra"]


def dictionary_bits(order: int, training: list[bytes], text: bytes) -> float:
    """The definition in the module's docstring, one byte at a time."""
    followers: dict[tuple, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for document in training:
        symbols = (None,) * (order - 1) + tuple(document)
        for end in range(order - 1, len(symbols)):
            for length in range(order):
                followers[symbols[end - length : end]][symbols[end]] += 1
    bits = 0.0
    symbols = (None,) * (order - 1) + tuple(text)
    for end in range(order - 1, len(symbols)):
        probability = 1 / 256
        for length in range(order):
            after = followers.get(symbols[end - length : end])
            if after:
                kinds, total = len(after), sum(after.values())
                count = after.get(symbols[end], 0)
                probability = (count + kinds * probability) / (total + kinds)
        bits -= math.log2(probability)
    return bits


@pytest.mark.parametrize("order", [1, 2, 5, 7])
def test_equals_the_definition_counted_with_dictionaries(order: int) -> None:
    expected = [dictionary_bits(order, TRAINING, text) for text in HELD_OUT]
    assert WittenBell(order, TRAINING).bits(HELD_OUT) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("before", [b"", b"a", b"the c", b"never seen", b"\xff\xff"])
def test_probabilities_sum_to_one_over_all_bytes(before: bytes) -> None:
    distribution = WittenBell(5, TRAINING).distribution(before)
    assert distribution.shape == (256,)
    assert distribution.min() > 0
    assert distribution.sum() == pytest.approx(1, abs=1e-12)


def test_counting_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = WittenBell(5, TRAINING).bits(HELD_OUT)
    monkeypatch.setattr(ngram, "CHUNK_BYTES", 8)
    np.testing.assert_array_equal(WittenBell(5, TRAINING).bits(HELD_OUT), whole)


def test_impossible_orders_and_empty_text_are_refused() -> None:
    with pytest.raises(ValueError, match="order is 1 to 7, not 8"):
        WittenBell(8, TRAINING)
    with pytest.raises(ValueError, match="at least one byte"):
        WittenBell(2, [b""])


@pytest.mark.real_data
def test_tinyshakespeare_five_gram_is_the_published_2_408_bits(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_bytes()
    split = int(len(text) * 0.9)
    bits = WittenBell(5, [text[:split]]).bits([text[split:]])[0]
    assert bits / (len(text) - split) == pytest.approx(2.408, abs=5e-4)
