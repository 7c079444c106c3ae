"""A crawl's shard becomes documents: every page is kept or dropped with a reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from llm.corpus.documents import DROPPED, EXTRACTED, SIDECAR, document_id, read_table
from llm.corpus.extract import PROGRAM, ExtractSettings, ExtractShard, extract, extract_text
from llm.machine import Machine
from llm.step import BadInput, Context, StepResult
from tests.llm.corpus.crawls import make_crawl, make_texts

SENTENCE = "The quick brown fox jumps over the lazy dog and runs into the forest. "


def page(text: str) -> str:
    return f"<html><body><main><p>{text}</p></main></body></html>"


def run(
    context: Context, crawl: Path, name: str = "one", program: str = PROGRAM, **settings: Any
) -> StepResult:
    values = ExtractShard(source="docs", part="00000", settings=ExtractSettings(**settings))
    out, work = context.out / name, context.work / name
    out.mkdir()
    work.mkdir()
    return extract(values, {"pages": [crawl]}, replace(context, out=out, work=work), program)


def rows(context: Context, table: str, schema: pa.Schema, name: str = "one") -> dict[str, Any]:
    listed = read_table(context.out / name / f"{table}.parquet", schema).to_pylist()
    return {row.get("url", row["doc_id"]): row for row in listed}


def test_pages_become_documents(tmp_path: Path, context: Context) -> None:
    crawl = make_crawl(
        tmp_path / "c",
        [("http://a.test/1", page(SENTENCE * 9)), ("http://a.test/2", page(SENTENCE * 7))],
    )
    result = run(context, crawl)
    documents = rows(context, "documents", EXTRACTED)
    one = documents["http://a.test/1"]
    assert one["text"] == (SENTENCE * 9).strip()
    assert (one["source"], one["language"]) == ("docs", "en")
    assert one["language_score"] > 0.8
    assert one["doc_id"] == document_id("docs", "http://a.test/1", one["text"])
    sidecar = rows(context, "sidecar", SIDECAR)
    assert set(sidecar) == {row["doc_id"] for row in documents.values()}
    assert result.counts["documents"] == 2
    assert result.counts["bytes"] == sum(len(row["text"]) for row in documents.values())
    assert result.counts["engines"] == {"blocks": 2}


def test_the_sidecar_leads_back_to_the_record(tmp_path: Path, context: Context) -> None:
    crawl = make_crawl(
        tmp_path / "c", [(f"http://a.test/{n}", page(SENTENCE * (n + 5))) for n in range(3)]
    )
    run(context, crawl)
    by_id = {row["doc_id"]: row for row in rows(context, "documents", EXTRACTED).values()}
    for identity, row in rows(context, "sidecar", SIDECAR).items():
        assert row["fetched_at"] == "2026-01-02T03:04:05Z"
        with (crawl / "pages" / row["warc_file"]).open("rb") as stream:
            stream.seek(row["warc_offset"])
            record = next(iter(ArchiveIterator(stream, record_types=WarcRecordType.response)))
        assert record.headers["WARC-Target-URI"] == by_id[identity]["url"]


def test_plain_texts_pass_through(tmp_path: Path, context: Context) -> None:
    texts = [
        ("file:///a.jsonl#0", "First line\n\n    code\n"),
        ("file:///a.jsonl#1", "<b>not HTML</b>"),
    ]
    run(context, make_texts(tmp_path / "c", texts))
    documents = rows(context, "documents", EXTRACTED)
    assert documents["file:///a.jsonl#0"]["text"] == "First line\n\n    code"
    assert documents["file:///a.jsonl#1"]["text"] == "<b>not HTML</b>"
    assert {row["engine"] for row in rows(context, "sidecar", SIDECAR).values()} == {"plain"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "settings", "reason"),
    [
        ("", "text/html", "200 OK", {}, "no_text"),
        (page(""), "text/html", "200 OK", {}, "no_text"),
        (page("Tiny."), "text/html", "200 OK", {"min_characters": 10}, "text_too_short"),
        (page(SENTENCE), "text/html", "404 Not Found", {}, "http_404"),
        ("%PDF-1.4", "application/pdf", "200 OK", {}, "not_a_text_page"),
        (page(SENTENCE * 99), "text/html", "200 OK", {"max_page_bytes": 1000}, "page_too_large"),
        ("\0\1\2\3" * 50, "text/html", "200 OK", {}, "binary"),
    ],
)
def test_a_page_without_a_document_is_dropped_with_its_reason(
    tmp_path: Path,
    context: Context,
    body: str,
    kind: str,
    status: str,
    settings: dict[str, Any],
    reason: str,
) -> None:
    crawl = make_crawl(tmp_path / "c", [("http://a.test/", body)], kind, status=status)
    result = run(context, crawl, **settings)
    assert result.counts["dropped"] == {reason: 1}
    dropped = rows(context, "dropped", DROPPED)["http://a.test/"]
    assert (dropped["reason"], dropped["bytes"]) == (reason, len(body))
    assert rows(context, "documents", EXTRACTED) == {}


BREAKS = """
import os, signal
from llm.corpus.reading.guard import run_guard
from llm.corpus.reading.worker import read_page, warm_up

def breaks(page):
    if b"too deep" in page.payload:
        raise RecursionError("too deep")
    if b"hangs" in page.payload:
        while True:
            pass
    if b"eats" in page.payload:
        held = []
        while True:
            held.append(bytearray(10_000_000))
    if b"crashes" in page.payload:
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_page(page)

run_guard(breaks, warm_up)
"""


def test_a_page_that_breaks_its_reader_costs_that_page_only(
    tmp_path: Path, context: Context
) -> None:
    good = [(f"http://a.test/{n}", page(SENTENCE * (5 + n))) for n in range(40)]
    bad = [
        (f"http://a.test/{word}", page(word)) for word in ("too deep", "hangs", "eats", "crashes")
    ]
    pages = [*good[:5], *bad[:2], *good[5:20], bad[2], *good[20:], bad[3]]
    machine = Machine(workers=2, memory_bytes=400_000_000)
    result = run(
        replace(context, machine=machine),
        make_crawl(tmp_path / "c", pages),
        program=BREAKS,
        page_seconds=3,
    )
    assert result.counts["dropped"] == {
        "failed_RecursionError": 1,
        "timeout": 1,
        "out_of_memory": 1,
        "crashed": 1,
    }
    reasons = {url: row["reason"] for url, row in rows(context, "dropped", DROPPED).items()}
    assert reasons["http://a.test/hangs"] == "timeout"
    documents = rows(context, "documents", EXTRACTED)
    assert {url: row["text"] for url, row in documents.items()} == {
        url: extract_text(html) for url, html in good
    }


def test_a_page_that_nests_without_end_is_stopped_in_time(tmp_path: Path, context: Context) -> None:
    # resiliparse takes a time quadratic in the depth: 16 s at 20,000 levels.
    deep = "<div>" * 20_000 + "deep"
    pages = [("http://a.test/1", deep), ("http://a.test/2", page(SENTENCE * 5))]
    crawl = make_crawl(tmp_path / "c", pages)
    result = run(context, crawl, engine="resiliparse", page_seconds=3)
    assert result.counts["dropped"] == {"timeout": 1}
    assert result.counts["documents"] == 1


def test_workers_change_nothing(tmp_path: Path, context: Context) -> None:
    pages = [(f"http://a.test/{n}", page(SENTENCE * (n + 1))) for n in range(50)]
    crawl = make_crawl(tmp_path / "c", pages)
    results = [
        run(replace(context, machine=Machine(workers=workers)), crawl, str(workers))
        for workers in (1, 3)
    ]
    assert results[0] == results[1]


def test_licence_and_opt_outs_come_with_the_document(tmp_path: Path, context: Context) -> None:
    head = (
        '<meta name="robots" content="noai, noimageai">'
        '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
    )
    html = page(SENTENCE * 5).replace("<body>", f"<head>{head}</head><body>")
    run(
        context,
        make_crawl(tmp_path / "c", [("http://a.test/", html)], headers=[("TDM-Reservation", "1")]),
    )
    document = rows(context, "documents", EXTRACTED)["http://a.test/"]
    assert document["licence"] == "https://creativecommons.org/licenses/by/4.0/"
    assert document["opt_out"] == "noai noimageai tdm"


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 2000 + "deep",
        "<p>" + "<b>" * 5000 + "unclosed",
        "<table>" * 500 + "<tr><td>cell",
        "<!DOCTYPE html><html><body>" + "<p>&#x0;&#xD800;&#x110000;&bogus; text</p>" * 50,
        "<a href='" + "x" * 100_000 + "'>link</a>" + "<p>word</p>" * 100,
    ],
)
def test_hostile_html_neither_crashes_nor_hangs(
    tmp_path: Path, context: Context, html: str
) -> None:
    pages = [("http://a.test/1", html), ("http://a.test/2", page(SENTENCE * 5))]
    result = run(context, make_crawl(tmp_path / "c", pages))
    kept, dropped = result.counts["documents"], sum(result.counts["dropped"].values())
    assert kept + dropped == 2
    assert "http://a.test/2" in rows(context, "documents", EXTRACTED)


def test_content_knows_text_and_nothing_of_dates(tmp_path: Path, context: Context) -> None:
    pages = [(f"http://a.test/{n}", page(SENTENCE * (n + 3))) for n in range(4)] + [
        ("http://a.test/x", "")
    ]
    first = run(context, make_crawl(tmp_path / "a", pages), "a")
    later = make_crawl(tmp_path / "b", pages[::-1], date="2027-09-09T09:09:09Z")
    assert run(context, later, "b").content == first.content
    for table in ("documents", "dropped"):
        files = [(context.out / name / f"{table}.parquet").read_bytes() for name in "ab"]
        assert files[0] == files[1]
    changed = make_crawl(
        tmp_path / "c", [*pages[:3], ("http://a.test/3", page(SENTENCE * 2)), pages[4]]
    )
    assert run(context, changed, "c").content != first.content


def test_a_page_that_comes_twice_is_one_document(tmp_path: Path, context: Context) -> None:
    pages = [("http://a.test/", page(SENTENCE * 5))] * 2 + [("http://a.test/e", "")] * 2
    result = run(context, make_crawl(tmp_path / "c", pages))
    assert (result.counts["documents"], result.counts["repeated_pages"]) == (1, 2)
    assert result.counts["dropped"] == {"no_text": 1}


def test_only_the_asked_part_is_read(tmp_path: Path, context: Context) -> None:
    make_crawl(tmp_path / "c", [("http://a.test/1", page(SENTENCE * 5))])
    crawl = make_crawl(tmp_path / "c", [("http://a.test/2", page(SENTENCE * 5))], part="00001")
    assert run(context, crawl).counts["documents"] == 1
    assert list(rows(context, "documents", EXTRACTED)) == ["http://a.test/1"]


def test_a_damaged_crawl_is_bad_input(tmp_path: Path, context: Context) -> None:
    pages = [(f"http://a.test/{n}", page(SENTENCE * 5)) for n in range(5)]
    crawl = make_crawl(tmp_path / "c", pages)
    archive = crawl / "pages/00000.warc.gz"
    archive.write_bytes(archive.read_bytes()[:900])
    with pytest.raises(BadInput, match=r"00000\.warc\.gz"):
        run(context, crawl)


@pytest.mark.real_data
def test_common_crawl_gives_its_documents(
    tmp_path: Path, context: Context, shared_data: Path
) -> None:
    counts = []
    for name in ("sample-0000", "sample-0001"):
        pages = []
        with (shared_data / f"crawl/common_crawl/{name}.warc.gz").open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                pages.append((record.headers["WARC-Target-URI"], record.reader.read()))
        result = run(context, make_crawl(tmp_path / name, pages, "text/html"), name)
        counts.append(result.counts["documents"] + result.counts["repeated_pages"])
    # DataTrove's own test of these files expects as many.
    assert counts == [22, 15]
