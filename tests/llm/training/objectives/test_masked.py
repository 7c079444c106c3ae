"""BERT's hiding, against the paper's rates."""

import numpy as np
import pytest

from llm.tokens.rows import IGNORE
from llm.training.batch import Batch, Integers
from llm.training.objectives.masked import Hiding, Masked
from llm.training.objectives.next_sentence import MaskedNextSentence, MaskedPairs

MASK, CLASSIFY, SEPARATOR, END = 0, 1, 2, 3
WORDS = np.arange(10, 1010)
T = 128


class Windows:
    """Sixteen windows a step; a window's tokens count on from one that its place gives."""

    def part(self, step: int, part: int, parts: int) -> Batch:
        rows = np.arange(part * 16 // parts, (part + 1) * 16 // parts)
        starts = (step * 16 + rows) * 37
        tokens = 10 + (starts[:, None] + np.arange(T + 1)) % 1000
        tokens[:, 5] = END
        return Batch.of(tokens=tokens[:, :-1], targets=tokens[:, 1:])

    def seen(self, step: int) -> list[int]:
        return [step]


HIDING = Hiding(rate=0.15, mask=MASK, words=WORDS)
MASKED = Masked(Windows(), 16, 1, HIDING)
PAIRS = MaskedPairs(Windows(), 16, 1, HIDING, CLASSIFY, SEPARATOR)


def test_fifteen_percent_are_learned_and_hidden_eighty_ten_ten() -> None:
    hidden, kept, replaced, learned, words = 0, 0, 0, 0, 0
    for step in range(100):
        rows, plain = MASKED.part(step, 0, 1), Windows().part(step, 0, 1)
        places = rows["targets"] != IGNORE
        assert np.array_equal(
            rows["targets"][places], plain["tokens"][places]
        )  # puts the window back
        assert np.array_equal(rows["tokens"][~places], plain["tokens"][~places])
        assert not places[:, 5].any()  # what ends a document is never hidden
        learned, words = learned + places.sum(), words + 16 * (T - 1)
        hidden += (rows["tokens"][places] == MASK).sum()
        kept += (rows["tokens"][places] == plain["tokens"][places]).sum()
        replaced += np.isin(rows["tokens"][places], WORDS).sum()
    assert learned / words == pytest.approx(0.15, abs=0.002)
    assert hidden / learned == pytest.approx(0.8, abs=0.01)
    assert kept / learned == pytest.approx(0.1, abs=0.01)
    assert (hidden + replaced) == learned


@pytest.mark.parametrize("source", [MASKED, PAIRS], ids=["masked", "pairs"])
def test_a_row_is_the_same_in_whatever_part_and_order_it_is_asked_for(
    source: Masked | MaskedPairs,
) -> None:
    whole = source.part(3, 0, 1)
    for parts in (2, 4):
        pieces = [source.part(3, part, parts) for part in reversed(range(parts))][::-1]
        assert np.array_equal(
            np.concatenate([piece["tokens"] for piece in pieces]), whole["tokens"]
        )
        assert np.array_equal(
            np.concatenate([piece["targets"] for piece in pieces]), whole["targets"]
        )


def test_padding_is_not_learned_and_segments_stay() -> None:
    class Packed(Windows):
        def part(self, step: int, part: int, parts: int) -> Batch:
            rows = super().part(step, part, parts)
            segments = np.ones_like(rows["tokens"])
            segments[:, T // 2 :] = 0
            return Batch.of(**rows.arrays, segments=segments)

    rows = Masked(Packed(), 16, 1, HIDING).part(0, 0, 1)
    assert (rows["targets"][:, T // 2 :] == IGNORE).all()
    assert (rows["targets"][:, : T // 2] != IGNORE).any()
    assert "segments" in rows
    with pytest.raises(ValueError, match="concat packing"):
        MaskedPairs(Packed(), 16, 1, HIDING, CLASSIFY, SEPARATOR).part(0, 0, 1)


def whole(rows: Batch) -> Integers:
    """The rows before hiding."""
    return np.where(rows["targets"] == IGNORE, rows["tokens"], rows["targets"])


def test_half_of_the_pairs_follow_on_and_the_others_come_from_elsewhere() -> None:
    apart = []
    for step in range(50):
        rows, plain = PAIRS.part(step, 0, 1), Windows().part(step, 0, 1)
        tokens, half = whole(rows), (T - 3) // 2
        assert (tokens[:, 0] == CLASSIFY).all()
        assert (tokens[:, half + 1] == SEPARATOR).all() and (tokens[:, -1] == SEPARATOR).all()
        assert np.array_equal(tokens[:, 1 : half + 1], plain["tokens"][:, :half])
        follows = (tokens[:, half + 2 : -1] == plain["tokens"][:, half : T - 3]).all(axis=1)
        assert np.array_equal(rows["pairs"], follows)
        assert np.array_equal(rows["types"][0], np.arange(T) >= half + 2)
        apart.append(rows["pairs"].mean())
    assert np.mean(apart) == pytest.approx(0.5, abs=0.05)


def test_a_pair_weighs_as_much_as_the_hidden_tokens_of_a_row() -> None:
    rows = PAIRS.part(0, 0, 1)
    objective = MaskedNextSentence(HIDING, CLASSIFY, SEPARATOR, 1)
    assert objective.pair_weight(T) == pytest.approx(
        (rows["targets"] != IGNORE).sum() / 16, rel=0.03
    )
