"""A small corpus and the tokenizer that our own training makes of it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from llm.corpus import documents
from llm.machine import Machine
from llm.step import Context
from llm.tokens.tokenizer import TokenizerSettings, TrainTokenizer, train

WORDS = "the path of a file joins parts with one separator and returns text 2026 os.path.join(a, b)"


def _write_documents(folder: Path, texts: dict[str, str], source: str = "docs") -> Path:
    rows = [
        {
            "doc_id": documents.document_id(source, url, text),
            "url": url,
            "source": source,
            "language": "en",
            "language_score": 1.0,
            "split_key": documents.hash64(url),
            "text": text,
        }
        for url, text in texts.items()
    ]
    table = pa.Table.from_pylist(rows, schema=documents.DOCUMENTS)
    documents.write_table(folder / "documents.parquet", table)
    return folder


def _some_texts(name: str, count: int = 40) -> dict[str, str]:
    words = WORDS.split()
    return {
        f"http://{name}.test/{number}": " ".join(
            words[(number * step + step) % len(words)] for step in range(1, 60)
        )
        + f"\n\n{name} {number}: naïve café 日本語 🙂\n"
        for number in range(count)
    }


def _new_context(folder: Path) -> Context:
    (folder / "out").mkdir(parents=True)
    (folder / "work").mkdir()
    return Context(out=folder / "out", work=folder / "work", machine=Machine(workers=2))


@pytest.fixture(scope="session")
def write_documents() -> Callable[..., Path]:
    """Write an artifact of clean documents: (folder, {URL: text}, source) → folder."""
    return _write_documents


@pytest.fixture(scope="session")
def some_texts() -> Callable[..., dict[str, str]]:
    """Documents of a few common words: (name, count) → {URL: text}."""
    return _some_texts


@pytest.fixture
def new_context(tmp_path: Path) -> Callable[[str], Context]:
    """Contexts of their own, for steps that run more than once in a test."""
    return lambda name: _new_context(tmp_path / name)


@pytest.fixture(scope="session")
def fraction() -> float:
    """The share of documents held out in these tests."""
    return 0.3


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two artifacts of documents, of two sources."""
    return [
        _write_documents(tmp_path_factory.mktemp(name), _some_texts(name), name)
        for name in ("docs", "mine")
    ]


@pytest.fixture(scope="session")
def tokenizer_folder(
    corpus: list[Path], fraction: float, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An artifact of the tokenizer step."""
    context = _new_context(tmp_path_factory.mktemp("tokenizer"))
    values = TrainTokenizer(
        settings=TokenizerSettings(vocabulary=330), validation_fraction=fraction
    )
    train(values, {"documents": corpus}, context)
    return context.out
