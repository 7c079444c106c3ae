"""Scoring by sliding windows: against one token at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llm.evaluation.scoring import after_start, score, windows
from llm.models import folder as model_folder
from tests.llm.evaluation.models import write_model


def test_the_worked_example_of_the_docstring() -> None:
    assert [window[1:] for window in windows(0, 14, 8, 4)] == [(0, 1, 8), (4, 9, 12), (8, 13, 13)]


@pytest.mark.parametrize(("length", "stride"), [(8, 4), (8, 8), (8, 1), (8, 3), (7, 5)])
def test_each_token_but_the_first_is_scored_once_with_enough_context(
    length: int, stride: int
) -> None:
    for tokens in range(1, 40):
        scored = []
        for window in windows(0, tokens, length, stride):
            assert 0 < window.end - window.begin <= length
            for target in range(window.first, window.end + 1):
                scored.append(target)
                assert target - window.begin >= min(target, length - stride + 1)
        assert scored == list(range(1, tokens))


def test_equals_scoring_one_token_at_a_time(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    random = np.random.default_rng(0)
    texts = [random.integers(0, 200, size) for size in (1, 2, 16, 17, 33, 90)]
    answers = score(model, texts, context_length=16, stride=6, batch_tokens=50)
    for text, nats in zip(texts, answers, strict=True):
        assert len(nats) == len(text) - 1
        for window in windows(0, len(text), 16, 6):
            for target in range(window.first, window.end + 1):
                with torch.no_grad():
                    logits = model(torch.from_numpy(text[None, window.begin : target]))[0, -1]
                expected = -torch.log_softmax(logits.double(), -1)[text[target]].item()
                assert nats[target - 1] == pytest.approx(expected, abs=2e-5)


def test_only_wanted_tokens_are_scored_and_the_same_by_any_number_of_threads(
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path)
    random = np.random.default_rng(1)
    texts = [random.integers(0, 200, size) for size in (1, 5, 40, 41, 90, 8, 30)]
    wanted = [random.random(len(text) - 1) < 0.3 for text in texts]
    wanted[4][:60] = False  # windows of which nothing is wanted
    told = []
    before = torch.get_num_threads()
    try:
        every = score(model, texts, context_length=16, stride=6, batch_tokens=50)
        some = score(
            model, texts, 16, 6, 50, lambda *progress: told.append(progress), wanted=wanted
        )
        for threads in (1, 3):
            torch.set_num_threads(threads)
            again = score(model, texts, context_length=16, stride=6, batch_tokens=50)
            assert torch.get_num_threads() == threads
            assert all(np.array_equal(one, two) for one, two in zip(every, again, strict=True))
    finally:
        torch.set_num_threads(before)
    for nats, chosen, all_nats in zip(some, wanted, every, strict=True):
        np.testing.assert_allclose(nats, np.where(chosen, all_nats, 0), atol=2e-5)
    total = sum(int(one.sum()) for one in wanted)
    assert told[-1] == (total, total)


def test_special_tokens_in_a_text_are_paid_for_as_characters(tmp_path: Path) -> None:
    write_model(tmp_path)
    _, tokenizer = model_folder.load(tmp_path / "model")
    text = "<|endoftext|>"
    assert len(after_start(tokenizer, [text])[0]) == 1 + len(text)
