"""Bits per byte by sliding windows: against one token at a time, and a model known in advance."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from llm.evaluation.result import read
from llm.evaluation.scoring import after_start, score, windows
from llm.evaluation.suite import Measure
from llm.evaluation.suites.perplexity import PerplexitySettings, measure
from llm.evaluation.texts import held_out
from llm.models import folder as model_folder
from llm.step import BadInput, Context
from tests.llm.evaluation.corpus import write_documents
from tests.llm.evaluation.models import CONTEXT, write_model

TEXTS = {f"http://x.test/{n}": f"pägé {n} in the thing. " * (1 + n % 5) for n in range(12)}
EVERYTHING = 1.0


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


def test_a_uniform_model_needs_log2_of_the_vocabulary_per_token(
    tmp_path: Path, context: Context
) -> None:
    model = write_model(tmp_path / "model", zero=True)
    folder = write_documents(tmp_path / "documents", TEXTS)
    values = Measure(settings=PerplexitySettings(), validation_fraction=EVERYTHING)
    measure(values, {"model": [tmp_path / "model"], "documents": [folder]}, context)
    figures = read(context.out).figures
    size = sum(len(text.encode()) for text in TEXTS.values())
    assert figures["bits_per_byte"].weight == size
    expected = math.log2(model.config.vocabulary) * figures["nats_per_token"].weight / size
    assert figures["bits_per_byte"].value == pytest.approx(expected, rel=1e-6)
    nats = math.log(model.config.vocabulary)
    assert figures["nats_per_token"].value == pytest.approx(nats, rel=1e-6)


def test_documents_add_up_by_source_and_the_protocol_names_everything(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    folders = [
        write_documents(tmp_path / "a", TEXTS),
        write_documents(tmp_path / "b", TEXTS, source="wiki"),
    ]
    values = Measure(settings=PerplexitySettings(stride=5), validation_fraction=EVERYTHING)
    measure(values, {"model": [tmp_path / "model"], "documents": folders}, context)
    result = read(context.out)
    figure = result.figures["bits_per_byte"]
    table = pq.read_table(context.out / "items.parquet").to_pylist()
    table = [row for row in table if row["figure"] == "bits_per_byte"]
    assert len(table) == figure.items == 2 * len(TEXTS)
    for source, part in figure.groups.items():
        rows = [row for row in table if row["group"] == source]
        bits = sum(row["sum"] for row in rows) / sum(row["weight"] for row in rows)
        assert part.value == pytest.approx(bits, rel=1e-12)
    assert set(figure.groups) == {"docs", "wiki"}
    for fact in ("24 validation documents", "UTF-8", "<|endoftext|>", f"{CONTEXT} tokens", " 5 "):
        assert fact in result.protocol


def test_measuring_twice_gives_the_same_files(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    inputs = {
        "model": [tmp_path / "model"],
        "documents": [write_documents(tmp_path / "documents", TEXTS)],
    }
    contents = []
    for name in ("one", "two"):
        context = Context(out=tmp_path / name, work=tmp_path / "work")
        context.out.mkdir()
        result = measure(
            Measure(settings=PerplexitySettings(), validation_fraction=EVERYTHING), inputs, context
        )
        files = {path.name: path.read_bytes() for path in context.out.iterdir()}
        contents.append((result.content, files))
    assert contents[0] == contents[1]


def test_special_tokens_in_a_text_are_paid_for_as_characters(tmp_path: Path) -> None:
    write_model(tmp_path)
    _, tokenizer = model_folder.load(tmp_path / "model")
    text = "<|endoftext|>"
    assert len(after_start(tokenizer, [text])[0]) == 1 + len(text)


def test_a_context_longer_than_the_models_is_refused(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model")
    folder = write_documents(tmp_path / "documents", TEXTS)
    assert held_out([folder], EVERYTHING)
    values = Measure(
        settings=PerplexitySettings(context_length=CONTEXT + 1), validation_fraction=EVERYTHING
    )
    with pytest.raises(BadInput, match=rf"context_length {CONTEXT + 1} is more than"):
        measure(values, {"model": [tmp_path / "model"], "documents": [folder]}, context)
