"""Repeated lines and paragraphs: what is cut, which copy stays, and other tools' expected files."""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from llm.corpus import repeats
from llm.corpus.dedup import DedupSettings
from llm.corpus.documents import CLUSTERS, DECISIONS, DOCUMENTS, EXTRACTED, read_table, write_table
from llm.corpus.passages import NearPassages, PassageSettings, cut, hash_passages, passages
from llm.corpus.repeats import EMPTIED, SPANS, RepeatedAll, find_repeated
from llm.step import Context, StepResult
from tests.llm.corpus.cleaning import Cleaned

EVERY_LINE = PassageSettings(unit="line", min_characters=1)
LINES = PassageSettings(unit="line", min_characters=1, keep="none")
PARAGRAPHS = PassageSettings(unit="paragraph", min_characters=1)

Texts = Mapping[str, str]  # by name


def _id(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


class Night:
    """The steps on some shards, each of named texts."""

    def __init__(
        self,
        root: Path,
        shards: Mapping[str, Texts],
        settings: PassageSettings,
        dropped: Sequence[str] = (),
        earlier: Sequence["Night"] = (),
        gone: Sequence[str] = (),
    ) -> None:
        """dropped: what the rules drop; gone: what has been erased since it was kept."""
        self.shards, self.out, self.written = shards, root / "repeated", root / "written"
        inputs = []
        kept = []
        for shard, texts in shards.items():
            folder = root / f"documents-{shard}"
            rows = [
                {"doc_id": _id(name), "url": name, "source": "s", "language": "en"}
                | {"language_score": 1.0, "licence": "", "opt_out": "", "text": text}
                for name, text in texts.items()
            ]
            write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))
            left = {*dropped, *gone}
            kept += [{**row, "split_key": 0} for row in rows if row["url"] not in left]
            decisions = [
                {"doc_id": row["doc_id"], "url": name, "source": "s", "bytes": 1}
                | {"reason": "short" if name in dropped else "kept", "split_key": 0}
                for row, name in zip(rows, texts, strict=True)
            ]
            write_table(
                root / f"decide/decisions/{shard}.parquet",
                pa.Table.from_pylist(decisions, schema=DECISIONS),
            )
            inputs.append(root / f"passages-{shard}")
            inputs[-1].mkdir()
            hash_passages(settings, {"documents": [folder]}, Context(out=inputs[-1], work=root))
        self.out.mkdir()
        table = pa.Table.from_pylist(kept, schema=DOCUMENTS)
        write_table(self.written / "documents.parquet", table)
        before = {
            "earlier": [night.out for night in earlier],
            "kept": [night.written for night in earlier],
        }
        values = RepeatedAll(shards=tuple(shards), settings=settings)
        self.result: StepResult = find_repeated(
            values,
            {"passages": inputs, "decisions": [root / "decide"], **before},
            Context(out=self.out, work=root),
        )

    def spans(self) -> dict[str, list[tuple[int, int]]]:
        found: dict[str, list[tuple[int, int]]] = {}
        for shard, texts in self.shards.items():
            table = read_table(self.out / f"spans/{shard}.parquet", SPANS).to_pylist()
            for name in texts:
                mine = [row for row in table if row["doc_id"] == _id(name)]
                found[name] = [(row["start"], row["end"]) for row in mine]
        return found

    def texts(self) -> dict[str, str]:
        """What is left of each text."""
        spans = self.spans()
        every = {name: text for texts in self.shards.values() for name, text in texts.items()}
        return {name: cut(text, spans[name]) for name, text in every.items()}

    def emptied(self) -> set[bytes]:
        return {
            identity
            for shard in self.shards
            for identity in read_table(self.out / f"emptied/{shard}.parquet", EMPTIED)[
                "doc_id"
            ].to_pylist()
        }


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "near", "cut_spans"),
    [
        ("dedupe-paragraphs", None, 43),
        # A list of months that is mostly another page's.
        ("dedupe-paragraph-ngrams", NearPassages(words=6, stride=3, overlap=0.5), 44),
    ],
)
def test_paragraphs_are_those_that_dolma_finds(
    shared_data: Path, tmp_path: Path, name: str, near: NearPassages | None, cut_spans: int
) -> None:
    folder = shared_data / "clean/dolma"
    with gzip.open(folder / "provided/deduper/documents/000.json.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    with gzip.open(folder / f"expected/{name}.json.gz", "rt") as file:
        gold = {row["id"]: row["attributes"] for row in map(json.loads, file)}
    texts = {row["id"]: row["text"] for row in rows}
    settings = PassageSettings(unit="line", min_characters=1, near=near)
    spans = Night(tmp_path, {"a": texts}, settings).spans()
    for document, text in texts.items():
        expected = gold[document]["bff_duplicate_paragraph_spans"]
        # The last span goes one past the text's end there: it takes a newline for granted.
        assert spans[document] == [(start, min(end, len(text))) for start, end, _ in expected]
    assert sum(map(len, spans.values())) == cut_spans


@pytest.mark.real_data
def test_documents_of_an_address_are_those_that_dolma_finds(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "clean/dolma"
    with gzip.open(folder / "provided/deduper/documents/000.json.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    with gzip.open(folder / "expected/dedupe-by-url.json.gz", "rt") as file:
        gold = {row["id"] for row in map(json.loads, file) if row["attributes"]}
    documents = [
        {"doc_id": _id(row["id"]), "url": row["metadata"]["url"], "source": "s", "language": "en"}
        | {"language_score": 1.0, "licence": "", "opt_out": "", "text": row["text"]}
        for row in rows
    ]
    table = pa.Table.from_pylist(documents, schema=EXTRACTED)
    write_table(tmp_path / "documents/documents.parquet", table)
    values = DedupSettings(exact="none", url=True, near=None)
    out = Cleaned(tmp_path, []).duplicates("out", [tmp_path / "documents"], values)
    clusters = read_table(out / "clusters.parquet", CLUSTERS).to_pylist()
    repeated = {row["doc_id"] for row in clusters if row["kind"] == "url"}
    assert repeated == {_id(name) for name in gold} and len(gold) == 1


@pytest.mark.real_data
def test_cut_leaves_what_dolma_leaves(shared_data: Path) -> None:
    folder = shared_data / "clean/dolma"
    with gzip.open(folder / "provided/documents/000.json.gz", "rt") as file:
        texts = [json.loads(line)["text"] for line in file]
    with gzip.open(folder / "expected/remove-paragraphs.json.gz", "rt") as file:
        gold = [json.loads(line)["text"] for line in file]
    spans_file = folder / "provided/attributes/duplicate_paragraphs/000.json.gz"
    with gzip.open(spans_file, "rt") as file:
        spans = [json.loads(line)["attributes"]["bff_duplicate_paragraph_spans"] for line in file]
    left = [
        cut(text, [(start, end) for start, end, _ in some])
        for text, some in zip(texts, spans, strict=True)
    ]
    assert left == gold and left != texts


@pytest.mark.real_data
def test_lines_of_several_documents_go_as_in_the_fixture(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "clean/near_and_line_duplicates"
    texts, gold = (
        {path.name: path.read_text() for path in sorted((folder / name).iterdir())}
        for name in ("documents_with_line_duplicates", "documents_line_deduplicated")
    )
    names = list(texts)
    shards = {"a": {n: texts[n] for n in names[::2]}, "b": {n: texts[n] for n in names[1::2]}}
    night = Night(tmp_path, shards, LINES)
    assert night.texts() == gold
    assert night.emptied() == {_id("doc1.txt"), _id("doc2.txt")}


A, B, C = "The first passage.", "A second one, longer.", "And a third."


def test_the_longest_document_keeps_a_passage_whatever_the_order_of_shards(tmp_path: Path) -> None:
    short, long = f"{A}\n\n{B}", f"{C}\n\n{A}\n\n{B}\n\nMore of it."
    shards = {"x": {"short": short}, "y": {"long": long}}
    one = Night(tmp_path / "one", shards, PARAGRAPHS)
    other = Night(tmp_path / "other", dict(reversed(shards.items())), PARAGRAPHS)
    assert one.texts() == other.texts() == {"short": "", "long": long}
    assert one.emptied() == {_id("short")}
    assert one.result.parts == other.result.parts
    assert one.result.content == other.result.content


def test_a_passage_repeated_within_a_document_stays_at_its_first_place(tmp_path: Path) -> None:
    night = Night(tmp_path, {"x": {"a": f"{A}\n\n{B}\n\n{A}\n\n{C}"}}, PARAGRAPHS)
    assert night.texts() == {"a": f"{A}\n\n{B}\n\n{C}"}


def test_none_keeps_what_only_one_document_says_twice(tmp_path: Path) -> None:
    night = Night(tmp_path, {"x": {"a": f"{A}\n{A}\n{B}\n", "b": f"{B}\n{C}\n"}}, LINES)
    assert night.texts() == {"a": f"{A}\n{A}\n", "b": f"{C}\n"}


def test_dropped_documents_do_not_count(tmp_path: Path) -> None:
    shards = {"x": {"long": f"{A}\n\n{B}\n\n{C}", "short": f"{A}\n\n{C}"}}
    night = Night(tmp_path, shards, PARAGRAPHS, dropped=["long"])
    assert night.texts() == {"long": f"{A}\n\n{B}\n\n{C}", "short": f"{A}\n\n{C}"}
    assert night.result.counts["cut"] == 0


def test_earlier_nights_win_and_are_not_read_again(tmp_path: Path) -> None:
    first = Night(tmp_path / "1", {"1": {"old": f"{A}\n\n{B}"}}, PARAGRAPHS)
    longer = f"{A}\n\n{C}\n\nMuch more text than on the first night."
    second = Night(tmp_path / "2", {"2": {"new": longer}}, PARAGRAPHS, earlier=[first])
    assert second.texts() == {"new": longer.removeprefix(f"{A}\n\n")}
    third = {"newest": f"{B}\n\n{C}\n\nOnly this is new."}
    night = Night(tmp_path / "3", {"3": third}, PARAGRAPHS, earlier=[first, second])
    assert night.texts() == {"newest": "Only this is new."}
    assert night.result.counts["new"] == 1


def test_passages_of_documents_that_have_gone_since_stay(tmp_path: Path) -> None:
    first = Night(tmp_path / "1", {"1": {"old": f"{A}\n\n{B}"}}, PARAGRAPHS, gone=["old"])
    edited = {"new": f"{A}\n\n{B}\n\n{C}"}
    second = Night(tmp_path / "2", {"2": edited}, PARAGRAPHS, earlier=[first])
    assert second.texts() == edited


def test_memory_bounds_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {
        f"s{shard}": {
            f"{shard}-{number}": "\n".join(f"line {(number * k) % 97}" for k in range(40))
            for number in range(20)
        }
        for shard in range(3)
    }
    whole = Night(tmp_path / "whole", shards, EVERY_LINE)
    monkeypatch.setattr(repeats, "PARTITION_ROWS", 100)
    parts = Night(tmp_path / "parts", shards, EVERY_LINE)
    assert whole.result == parts.result
    seen = [(n.out / "seen.parquet") for n in (whole, parts)]
    assert (
        read_table(seen[0], repeats.SEEN).to_pylist()
        == read_table(seen[1], repeats.SEEN).to_pylist()
    )
    left = [line for text in parts.texts().values() for line in text.splitlines()]
    assert len(left) == len({*left}) == whole.result.counts["new"]
    assert not list((tmp_path / "parts").glob("*.bin"))


def test_short_passages_and_white_space_do_not_count(tmp_path: Path) -> None:
    settings = PassageSettings(unit="line", min_characters=10)
    shards = {
        "x": {"a": "Returns:\n   a longer line\nx", "b": "Returns:\na longer line \t\nyy\nzzz"}
    }
    night = Night(tmp_path, shards, settings)
    assert night.texts() == {"a": "Returns:\nx", "b": shards["x"]["b"]}


def test_spans_of_units() -> None:
    text = "one\ntwo \n\n \n  three\n\n\nfour"
    spans = {unit: [*passages(text, unit)] for unit in ("line", "paragraph")}
    lines = [text[one.start : one.end] for one in spans["line"]]
    assert lines == ["one\n", "two \n", "  three\n", "four"]
    paragraphs = [text[one.start : one.end] for one in spans["paragraph"]]
    assert paragraphs == ["one\ntwo \n", "  three\n", "four"]
    assert [(one.plain, one.characters) for one in spans["paragraph"]] == [
        ("one\ntwo", 6),
        ("three", 5),
        ("four", 4),
    ]
    assert [*passages("", "line"), *passages("\n\n", "paragraph")] == []
    assert [one.end for one in passages("a\n", "paragraph")] == [2]


def test_cut_tidies_only_where_it_cuts() -> None:
    text = "a\n\n\n\nb\n\nc\n\nd"
    assert cut(text, []) == text
    assert cut(text, [(8, 10)]) == "a\n\n\n\nb\n\nd"
    assert cut(text, [(11, 12)]) == "a\n\n\n\nb\n\nc"
    assert cut(text, [(0, 2)]) == "b\n\nc\n\nd"
    assert cut("a\nb\n", [(2, 4), (0, 2)]) == ""
