"""T5's spans: the window comes back from them, and the rates are the paper's."""

import numpy as np
import pytest

from llm.training.batch import Batch, Integers
from llm.training.objectives.span_corruption import SpanCorruption, sizes

SENTINELS = list(range(1000, 1064))
START = 999


class Windows:
    """Eight windows a step."""

    def __init__(self, length: int) -> None:
        self.length = length

    def part(self, step: int, part: int, parts: int) -> Batch:
        tokens = np.random.default_rng(step).integers(0, 900, (8, self.length + 1))
        tokens = tokens[part * 8 // parts : (part + 1) * 8 // parts]
        return Batch.of(tokens=tokens[:, :-1], targets=tokens[:, 1:])

    def seen(self, step: int) -> list[int]:
        return [step]


def spans(length: int, mean_span: float = 3.0) -> SpanCorruption:
    return SpanCorruption(Windows(length), 8, 1, 0.15, mean_span, SENTINELS, START)


def restored(sources: Integers, targets: Integers) -> list[int]:
    """The window: every sentinel of the sources replaced by what follows it in the targets."""
    result = []
    for token in sources:
        if token in SENTINELS:
            place = int(np.flatnonzero(targets == token)[0]) + 1
            while targets[place] not in SENTINELS:
                result.append(int(targets[place]))
                place += 1
        else:
            result.append(int(token))
    return result


@pytest.mark.parametrize("length", [2, 3, 16, 256, 512])
def test_the_window_comes_back_and_the_decoder_reads_its_targets_shifted(length: int) -> None:
    for step in range(5):
        rows, plain = spans(length).part(step, 0, 1), Windows(length).part(step, 0, 1)
        for sources, targets, window in zip(
            rows["sources"], rows["targets"], plain["tokens"], strict=True
        ):
            assert restored(sources, targets) == window.tolist()
            used = [token for token in targets if token in SENTINELS]
            assert used == SENTINELS[: len(used)]
        assert (rows["tokens"][:, 0] == START).all()
        assert np.array_equal(rows["tokens"][:, 1:], rows["targets"][:, :-1])


def test_fifteen_percent_in_spans_of_three() -> None:
    """512 tokens: 77 hidden in 26 spans, 461 + 104 tokens, as the paper's settings give."""
    assert sizes(512, 0.15, 3.0) == (77, 26)
    rows = spans(512).part(0, 0, 1)
    assert rows["sources"].shape == (8, 512 - 77 + 26) and rows["targets"].shape == (8, 77 + 26 + 1)


def test_hidden_places_are_spread_over_the_window_ends_included() -> None:
    counts = np.zeros(64)
    for step in range(200):
        rows = spans(64).part(step, 0, 1)
        plain = Windows(64).part(step, 0, 1)["tokens"]
        for sources, window in zip(rows["sources"], plain, strict=True):
            counts += ~np.isin(window, sources)
    assert counts.min() > 0.1 * 0.15 * 1600 and counts.max() < 2 * 0.15 * 1600


def test_a_row_is_the_same_in_whatever_part_it_is_asked_for() -> None:
    whole = spans(64).part(3, 0, 1)
    pieces = [spans(64).part(3, part, 4) for part in range(4)]
    assert np.array_equal(np.concatenate([piece["targets"] for piece in pieces]), whole["targets"])


def test_too_few_sentinels_are_told_with_a_mean_span_that_does() -> None:
    with pytest.raises(ValueError, match=r"102 spans in 2048 tokens.*mean_span to 4.9 or more"):
        spans(2048).part(0, 0, 1)
    spans(2048, 4.9).part(0, 0, 1)
