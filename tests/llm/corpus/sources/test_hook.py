"""Users' own sources: whatever their function yields, and its errors by file and line."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm.corpus.sources import hook
from llm.corpus.sources.hook import HookSource
from llm.step import BadInput, Context, StepResult
from tasks.stages.sources import source_call
from tests.llm.corpus.sources.test_wikipedia import texts

SOURCE = """
def documents(count=3, paths=()):
    for i in range(count):
        yield {"url": f"https://a.de/{i}", "text": f"Text {i}."}
    for path in paths:
        yield {"url": f"https://a.de/{path.stem}", "html": path.read_bytes(),
               "fetched_at": "2024-01-02T03:04:05+02:00", "position": f"{path.name}@0"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "my_source.py").write_text(SOURCE)
    monkeypatch.chdir(root)
    return root


def read(context: Context, **fields: Any) -> StepResult:
    values = HookSource(function="my_source:documents", **fields)
    return hook.read(values, {"files": hook.local_files(values)}, context)


def test_what_it_yields_becomes_pages(context: Context, folder: Path) -> None:
    (folder / "page.txt").write_text("<p>Größe</p>")
    result = read(context, options={"count": 2}, path=str(folder / "*.txt"))
    assert result.counts["pages"] == 3
    assert texts(context) == {
        "https://a.de/0": ("my_source:documents#1", "Text 0."),
        "https://a.de/1": ("my_source:documents#2", "Text 1."),
    }
    rows = {row["url"]: row for row in pq.read_table(context.out / "index.parquet").to_pylist()}
    assert rows["https://a.de/page"]["content_type"] == "text/html"
    assert rows["https://a.de/page"]["fetched_at"] == "2024-01-02T01:04:05Z"


def test_limits_hold(context: Context, folder: Path) -> None:
    result = read(context, options={"count": 10**12}, max_documents=700)
    assert result.counts["pages"] == 700


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("yield 1 / 0", r"failed at .*my_source\.py:2: ZeroDivisionError"),
        ("return 7", r"failed at .*: TypeError"),
        ("yield 'text'", "document 1 is str: yield mappings with url and text"),
        ("yield {'url': 'https://a.de'}", "needs either text or html"),
        ("yield {'url': 'https://a.de', 'text': b'x'}", "text is bytes, not str"),
        ("yield {'url': 'a.de', 'text': 'x'}", "url is 'a.de', not an address"),
        ("yield {'url': 'https://a.de', 'test': 'x'}", "has a field 'test'; known are url, text"),
        ("yield {'url': 'https://a.de', 'text': 'x', 'fetched_at': 'now'}", "not ISO 8601"),
        ("yield {'url': 'https://a.de', 'text': ' '}", "gave no document.*empty"),
        ("return iter(())", "gave no document"),
    ],
)
def test_errors_name_the_place(context: Context, folder: Path, body: str, message: str) -> None:
    (folder / "my_source.py").write_text(f"def documents():\n    {body}\n")
    with pytest.raises(BadInput, match=message):
        read(context)


def test_wrong_options_and_broken_connections(context: Context, folder: Path) -> None:
    with pytest.raises(BadInput, match="unexpected keyword argument 'size'"):
        read(context, options={"size": 1})
    (folder / "my_source.py").write_text("def documents():\n    raise ConnectionError('gone')\n")
    with pytest.raises(ConnectionError, match=r"my_source\.py:2: ConnectionError: gone"):
        read(context)


def test_code_options_and_files_name_the_result(folder: Path) -> None:
    (folder / "a.txt").write_text("a")

    def key(**fields: Any) -> str:
        values = HookSource(function="my_source:documents", **fields)
        return source_call("mine", values, "monday").key

    first = key()
    assert key() == first
    keys = {first, key(options={"count": 1}), key(path="*.txt"), key(read_again="snapshot")}
    (folder / "a.txt").write_text("b")
    keys.add(key(path="*.txt"))
    (folder / "my_source.py").write_text(SOURCE.replace("Text", "Words"))
    keys.add(key())
    assert len(keys) == 6
