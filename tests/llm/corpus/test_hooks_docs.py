"""What docs/your-filters.md shows is run as it stands there."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydantic
import pytest
from ruamel.yaml import YAML

from llm.corpus import hooks
from llm.corpus.crawl import CrawlSettings
from llm.corpus.extract import ExtractSettings, ExtractShard, extract
from llm.corpus.hooks import ApplyHooks
from llm.corpus.hooks_settings import HookSettings
from llm.corpus.sources import hook
from llm.corpus.sources.hook import HookSource
from llm.step import Context

PAGE = (Path(__file__).parents[3] / "docs" / "your-filters.md").read_text("utf8")

MBOX = """From ann@example.org Thu Jan  1 00:00:00 2026
From: Ann <ann@example.org>
Date: Thu, 01 Jan 2026 12:00:00 +0100
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Take 500 g flour, 2 tbsp sugar and 200 ml milk, then stir.

From bob@example.org Thu Jan  1 00:00:00 2026
From: Bob <bob@example.org>
Date: Fri, 02 Jan 2026 12:00:00 +0000

The meeting has been moved to the large room on Tuesday.

From eve@elsewhere.test Thu Jan  1 00:00:00 2026
From: Eve <eve@elsewhere.test>
Date: Fri, 02 Jan 2026 12:00:00 +0000

Buy now.
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def recipe(section: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for block in blocks("yaml"):
        values |= YAML(typ="safe", pure=True).load(block)
    return values[section]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the modules of the page, and a mail folder."""
    root = tmp_path / "mine"
    (root / "archive").mkdir(parents=True)
    (root / "archive" / "old.mbox").write_text(MBOX)
    for code in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name is not None
        (root / name[1]).write_text(code)
    monkeypatch.chdir(root)
    return root


def test_the_source_and_the_filters_of_the_page_work(
    folder: Path, tmp_path: Path, context: Context
) -> None:
    sources = pydantic.TypeAdapter(CrawlSettings).validate_python(recipe("crawl")).sources
    source = sources["mail"]
    assert isinstance(source, HookSource)
    result = hook.read(source, {"files": hook.local_files(source)}, context)
    assert result.counts["pages"] == 2

    shard = Context(out=tmp_path / "shard", work=tmp_path / "shard-work")
    shard.out.mkdir()
    values = ExtractShard(source="mail", part="00000", settings=ExtractSettings(min_characters=1))
    extract(values, {"pages": [context.out]}, shard)
    sidecar = pq.read_table(shard.out / "sidecar.parquet").to_pylist()
    assert {row["position"] for row in sidecar} == {"old.mbox, letter 0", "old.mbox, letter 1"}
    assert "2026-01-01T11:00:00Z" in {row["fetched_at"] for row in sidecar}

    adapter = pydantic.TypeAdapter(dict[str, HookSettings])
    filters = adapter.validate_python(recipe("clean")["hooks"])
    said = Context(out=tmp_path / "said", work=tmp_path / "said-work")
    said.out.mkdir()
    functions = {name: filter_.function for name, filter_ in filters.items()}
    hooks.apply(ApplyHooks(functions=functions), {"documents": [shard.out]}, said)
    table = pq.read_table(said.out / "hooks.parquet")
    texts = pq.read_table(shard.out / "documents.parquet")["text"].to_pylist()
    kept = filters["cooking"].keeps(table["cooking"].to_numpy())
    assert [text for text, keep in zip(texts, kept, strict=True) if keep] == [
        "Take 500 g flour, 2 tbsp sugar and 200 ml milk, then stir."
    ]
    assert filters["not-shop"].keeps(table["not-shop"].to_numpy()).all()
