"""What is taken down is found in every spelling, and nothing beside it."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llm.corpus.documents import EXTRACTED, write_table
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.erasure.takedown import (
    ERASED,
    Takedowns,
    address_entry,
    change_list,
    domain_entry,
    erased_in,
    exclusions,
)
from llm.step import BadInput

LIST = Takedowns()
for entry in (
    "https://example.org/a?x=1&y=2",
    "bad.example",
    "bücher.example",
    "file:///m.jsonl#7",
):
    known = address_entry(entry) if "://" in entry else domain_entry(entry)
    LIST = LIST.add(known, "asked by the owner", 1.0)


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("https://example.org/a?x=1&y=2", True),
        ("http://EXAMPLE.org:80/a?y=2&x=1#part", True),
        ("https://example.org/%61?utm_source=x&x=1&y=2", True),
        ("https://example.org/a", False),
        ("https://example.org/a?x=1&y=2/b", False),
        ("https://www.example.org/a?x=1&y=2", False),
        ("https://bad.example/", True),
        ("http://deep.below.bad.example:8080/x", True),
        ("https://notbad.example/", False),
        ("https://bad.example.org/", False),
        ("https://example.org/?of=bad.example", False),
        ("https://xn--bcher-kva.example/1", True),
        ("https://bücher.example/1", True),
        ("https://BÜCHER.example/1", True),
        ("file:///m.jsonl#7", True),
        ("file:///m.jsonl#71", False),
        ("", False),
    ],
)
def test_an_address_is_covered_in_every_spelling(url: str, covered: bool) -> None:
    assert LIST.covers(url) is covered
    assert Exclusions(exclusions(LIST)).among(pa.array([url, None])).tolist() == [covered, False]


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("www.c.example/p1", True),
        ("c.example", True),
        ("//c.example/x", True),
        ("c.example:8080/x", True),
        ("ftp://c.example/f", True),
        ("FTP://user@Files.C.example:21/f", True),
        ("s3://c.example/key", True),
        ("ftp://xn--bcher-kva.example/f", True),
        ("ftp://bücher.example/f", True),
        ("ftp://notc.example/f", False),
        ("other.example/c.example", False),
        ("http://[c.example/", False),
        ("7", False),
    ],
)
def test_a_domain_is_covered_whatever_the_scheme_and_without_one(url: str, covered: bool) -> None:
    listed = Exclusions([domain_entry("c.example"), domain_entry("bücher.example")])
    assert listed.covers(url) is covered
    assert listed.among(pa.array([url])).tolist() == [covered]


@pytest.mark.parametrize(
    ("given", "covered", "left"),
    [
        ("www.c.example/p1", "www.c.example/p1", "www.c.example/p2"),
        ("www.c.example/p1", "HTTPS://www.c.example/p1#part", "c.example/p1"),
        ("https://www.c.example/p1", "www.C.example:80/p1", "ftp://www.c.example/p1"),
        ("ftp://c.example/f", "ftp://c.example/f", "ftp://c.example/g"),
        ("mine.jsonl#7", "mine.jsonl#7", "mine.jsonl#8"),
        ("urn:isbn:1", "urn:isbn:1", "urn:isbn:2"),
    ],
)
def test_an_address_is_taken_as_its_document_has_it(given: str, covered: str, left: str) -> None:
    listed = Exclusions([address_entry(given)])
    assert listed.among(pa.array([covered, left])).tolist() == [True, False]


def test_many_domains_are_found_as_few_are() -> None:
    many = Exclusions([f"site{number}.example" for number in range(1000)])
    urls = pa.chunked_array([[f"https://www.site{number}.example/" for number in range(1100)]])
    assert many.among(urls).sum() == 1000
    assert not Exclusions(()).among(urls).any()


@pytest.mark.parametrize(
    "domain", ["https://example.org/", "example.org/a", "a b", "", "u@h", "*.x"]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(BadInput, match="host name alone"):
        domain_entry(domain)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadInput, match="whole address"):
        address_entry("page")


def test_the_digest_is_of_what_is_covered() -> None:
    one = Takedowns().add("a.example").add("b.example", "because", 5.0)
    two = Takedowns().add("b.example").add("a.example")
    assert one.digest == two.digest != Takedowns().digest
    assert one.add("a.example") is one
    assert one.remove("a.example").digest == Takedowns().add("b.example").digest
    with pytest.raises(BadInput, match="not on the takedown list"):
        one.remove("c.example")
    with pytest.raises(BadInput, match="has been purged"):
        one.noting(purged_at=3.0).remove("a.example")


def _add_ten(path: str, start: int) -> None:
    for number in range(start, start + 10):
        change_list(Path(path), lambda found, n=number: found.add(f"s{n}.example"))  # type: ignore[misc]


def test_two_who_change_the_list_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "home" / "takedown.json"
    spawn = multiprocessing.get_context("fork")
    others = [spawn.Process(target=_add_ten, args=(str(path), start)) for start in (0, 10)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert len(Takedowns.load(path).entries) == 20


def test_a_list_that_cannot_be_read_is_no_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "takedown.json"
    assert Takedowns.load(path) == Takedowns()
    path.write_text('{"entries": [{"ent')
    with pytest.raises(BadInput, match="cannot be read"):
        Takedowns.load(path)


def test_erased_documents_are_named_before_and_after_their_purge(tmp_path: Path) -> None:
    urls = ["https://bad.example/1", "https://good.example/", "https://x.bad.example/2"]
    empty: dict[str, Any] = {"source": "s", "language": "en", "language_score": 1.0}
    rows = [
        {"doc_id": bytes([n]) * 16, "url": url, "text": "t", "licence": "", "opt_out": "", **empty}
        for n, url in enumerate(urls)
    ]
    write_table(tmp_path / "documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))
    before = erased_in(tmp_path, LIST)
    assert before == ("00" * 16, "02" * 16)
    assert erased_in(tmp_path, Takedowns()) == ()
    write_table(tmp_path / "documents.parquet", pa.Table.from_pylist(rows[1:2], schema=EXTRACTED))
    (tmp_path / ERASED).write_text(json.dumps(before))
    assert erased_in(tmp_path, LIST) == before
