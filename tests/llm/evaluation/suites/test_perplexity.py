"""Bits per byte: of a model known in advance, by document and source."""

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm.evaluation.result import read
from llm.evaluation.suite import Measure
from llm.evaluation.suites.perplexity import PerplexitySettings, measure
from llm.evaluation.texts import held_out
from llm.step import BadInput, Context
from tests.llm.evaluation.corpus import write_documents
from tests.llm.evaluation.models import CONTEXT, write_model

TEXTS = {f"http://x.test/{n}": f"pägé {n} in the thing. " * (1 + n % 5) for n in range(12)}
EVERYTHING = 1.0


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


def test_a_context_longer_than_the_models_is_refused(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model")
    folder = write_documents(tmp_path / "documents", TEXTS)
    assert held_out([folder], EVERYTHING)
    values = Measure(
        settings=PerplexitySettings(context_length=CONTEXT + 1), validation_fraction=EVERYTHING
    )
    with pytest.raises(BadInput, match=rf"context_length {CONTEXT + 1} is more than"):
        measure(values, {"model": [tmp_path / "model"], "documents": [folder]}, context)
