"""The cleaned corpus: kept documents only, masked, with their identity and their split."""

from pathlib import Path

import pytest

from llm.corpus.documents import SIDECAR, document_id, read_table
from llm.corpus.write import WriteShard, write
from llm.step import BadInput
from tests.llm.corpus.cleaning import clean

TEXTS = [
    ("http://a.test/1", "Write to jane@doe.org or look at 8.8.8.8 for more on this page."),
    ("http://a.test/2", "Nothing personal is written here, on the second page of the two."),
    ("http://a.test/2/copy", "Nothing personal is written here, on the second page of the two."),
]


def test_personal_data_is_masked_and_counted_and_ids_stay(tmp_path: Path) -> None:
    done = clean(tmp_path, {"s": TEXTS})
    documents = done.documents()
    assert set(documents) == {"http://a.test/1", "http://a.test/2"}
    row = documents["http://a.test/1"]
    assert row["text"] == "Write to <email> or look at <ip> for more on this page."
    assert row["doc_id"] == document_id("s", "http://a.test/1", TEXTS[0][1])
    result = done.results["write-s"]
    assert result.counts["masked"] == {"email": 1, "ip": 1}
    assert result.counts["documents"] == 2
    assert result.counts["bytes"] == sum(len(one["text"].encode()) for one in documents.values())


def test_masking_is_chosen_by_kind(tmp_path: Path) -> None:
    some = clean(tmp_path / "a", {"s": TEXTS}, pii=("ip",)).documents()["http://a.test/1"]
    none = clean(tmp_path / "b", {"s": TEXTS}, pii=()).documents()["http://a.test/1"]
    assert "jane@doe.org or look at <ip>" in some["text"]
    assert none["text"] == TEXTS[0][1]
    assert some["doc_id"] == none["doc_id"]
    with pytest.raises(ValueError, match="unknown kind"):
        WriteShard(shard="s", pii=("fax",))


def test_the_sidecar_keeps_the_written_documents_only(tmp_path: Path) -> None:
    done = clean(tmp_path, {"s": TEXTS})
    sidecar = read_table(tmp_path / "write-s/sidecar.parquet", SIDECAR)
    ids = {row["doc_id"] for row in done.documents().values()}
    assert set(sidecar["doc_id"].to_pylist()) == ids


def test_content_and_files_are_the_same_each_time(tmp_path: Path) -> None:
    one, two = (
        clean(tmp_path / name, {"s": texts}) for name, texts in (("a", TEXTS), ("b", TEXTS[::-1]))
    )
    assert one.results["write-s"].content == two.results["write-s"].content
    files = [tmp_path / name / "write-s/documents.parquet" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_decisions_of_another_run_are_refused(tmp_path: Path) -> None:
    one = clean(tmp_path / "a", {"s": TEXTS})
    two = clean(tmp_path / "b", {"s": TEXTS[1:]})
    inputs = {"documents": two.paths("extract"), "decisions": [one.root / "decide"]}
    with pytest.raises(BadInput, match=r"keeps 2 documents, .* has 1 of them"):
        two.step("again", write, WriteShard(shard="s"), inputs)
