"""Dumps of wikis: articles as text under their address, redirects counted, memory flat."""

import bz2
import gzip
import io
import tracemalloc
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.archive.warc import POSITION
from llm.corpus.sources import files
from llm.corpus.sources.files import FilesSource
from llm.corpus.sources.wikipedia import NoDump, read_dump
from llm.step import BadInput, Context, StepResult

DUMP = "lm/enwiki/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="de"><siteinfo>
<base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base><namespaces>
<namespace key="0" case="first-letter" /><namespace key="6">Datei</namespace>
<namespace key="14">Kategorie</namespace></namespaces></siteinfo>"""


def page(title: str, text: str, ns: int = 0, more: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>7</id>{more}<revision><id>9</id>"
        f"<timestamp>2024-01-02T03:04:05Z</timestamp><text>{text}</text></revision></page>"
    )


def read(context: Context, path: Path, **fields: Any) -> StepResult:
    values = FilesSource(path=str(path), **fields)
    return files.read(values, {"files": files.expand(values.path)}, context)


def texts(context: Context) -> dict[str, tuple[str, str]]:
    """(position, text) by URL."""
    found = {}
    for shard in sorted((context.out / "pages").iterdir()):
        with shard.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                if record.rec_type == "conversion":
                    headers = record.rec_headers
                    text = record.content_stream().read().decode()
                    position = headers.get_header(POSITION)
                    found[headers.get_header("WARC-Target-URI")] = (position, text)
    return found


@pytest.mark.real_data
def test_the_articles_of_a_real_dump_are_read_and_its_redirects_dropped(
    shared_data: Path, context: Context
) -> None:
    result = read(context, shared_data / DUMP)
    assert (result.counts["pages"], result.counts["redirect"]) == (106, 100)
    assert result.counts["failures"] == {}
    found = texts(context)
    position, text = found["https://en.wikipedia.org/wiki/Anarchism"]
    assert position == f"{Path(DUMP).name}#2"
    assert text.startswith(
        "Anarchism is a political philosophy that advocates self-governed societies based on "
        "voluntary institutions."
    )
    assert "\n\nEtymology and terminology\n\nThe term anarchism is a compound word" in text
    for mark in ("[[", "]]", "<ref", "</", "'''", "File:", "Category:", "\n==", "\n{|", "\n|"):
        assert [url for url, (_, text) in found.items() if mark in text] == [], mark
    with bz2.open(shared_data / DUMP) as stream:
        elements = [element for _, element in ElementTree.iterparse(stream)]
    titles = [element.text or "" for element in elements if element.tag.endswith("}title")]
    for url, (position, _) in found.items():
        title = titles[int(position.partition("#")[2]) - 1].replace(" ", "_")
        if title.isascii() and title.isalpha():
            assert url == f"https://en.wikipedia.org/wiki/{title}"


def test_what_is_no_article_is_counted_by_what_it_is(context: Context, tmp_path: Path) -> None:
    pages = [
        page("Größe (Maß)", "'''Größe''' [[Datei:a.png|mini]] ist [[viel]].[[Kategorie:X]]"),
        page("Alt", "#WEITERLEITUNG [[Neu]]", more='<redirect title="Neu" />'),
        page("Älter", "#REDIRECT [[Neu]]"),
        page("Diskussion:Größe", "Nein!", ns=1),
        page("Leer", "{{nur|Vorlage}}"),
        page("Lang", "x" * 5000),
        page("Daten", "{}").replace("<text>", "<model>json</model><text>"),
    ]
    (tmp_path / "wiki.xml").write_text(HEAD + "".join(pages) + "</mediawiki>")
    result = read(context, tmp_path / "wiki.xml", max_document_bytes=4000)
    assert texts(context) == {
        "https://de.wikipedia.org/wiki/Gr%C3%B6%C3%9Fe_(Ma%C3%9F)": (
            "wiki.xml#1",
            "Größe ist viel.",
        )
    }
    assert result.counts["failures"] == {"empty": 1, "too_large": 1}
    assert {key: result.counts[key] for key in ("redirect", "other_namespace", "no_wikitext")} == {
        "redirect": 2,
        "other_namespace": 1,
        "no_wikitext": 1,
    }
    index = pq.read_table(context.out / "index.parquet").to_pylist()
    assert index[0]["fetched_at"] == "2024-01-02T03:04:05Z"


def test_of_a_pages_history_the_last_revision_counts() -> None:
    twice = page("A", "old").replace("</page>", "<revision><text>new</text></revision></page>")
    (found,) = read_dump(io.BytesIO((HEAD + twice + "</mediawiki>").encode()), (0,), 1000)
    assert found.text == "new"


@pytest.mark.real_data
def test_a_damaged_dump_gives_the_pages_before_the_damage(
    shared_data: Path, context: Context, tmp_path: Path
) -> None:
    data = (shared_data / DUMP).read_bytes()
    (tmp_path / "cut.xml.bz2").write_bytes(data[: len(data) // 2])
    result = read(context, tmp_path / "cut.xml.bz2")
    assert 30 < result.counts["pages"] < 106
    assert result.counts["failures"] == {"damaged": 1}


def test_other_xml_is_refused_in_a_word(context: Context, tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text("<rss><item>x</item></rss>")
    with pytest.raises(BadInput, match="the XML is not a wiki dump: it begins with <rss>"):
        read(context, tmp_path / "feed.xml")
    laughs = '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><mediawiki>&b;</mediawiki>'
    with pytest.raises(NoDump, match="defines an entity"):
        list(read_dump(io.BytesIO(laughs.encode()), (0,), 1000))
    for cut in range(len(HEAD)):
        with pytest.raises(NoDump):
            list(read_dump(io.BytesIO(HEAD[:cut].encode()), (0,), 1000))


def test_a_page_of_any_size_takes_no_memory(context: Context, tmp_path: Path) -> None:
    """60 MB in one page, and in one field that is not text."""
    big = "x " * 30_000_000
    path = tmp_path / "wiki.xml.gz"
    with gzip.open(path, "wt", compresslevel=1) as stream:
        stream.write(HEAD + page("A", "small") + page("B", big) + page(big, "c") + "</mediawiki>")
    del big
    tracemalloc.start()
    try:
        result = read(context, path, max_document_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.counts["failures"]["too_large"] == 1
    assert peak < 20_000_000
