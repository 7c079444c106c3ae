"""Sitemaps in every form that sitemaps.org allows, and in those that it does not."""

import gzip

import pytest

from llm.corpus.web.sitemaps import read

# The sample of https://www.sitemaps.org/protocol.html
SAMPLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
   <url><loc>http://www.example.com/</loc><lastmod>2005-01-01</lastmod></url>
   <url><loc>http://www.example.com/catalog?item=12&amp;desc=vacation_hawaii</loc></url>
</urlset>"""
INDEX = b"""<?xml version="1.0" encoding="UTF-8"?>
<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
   <sitemap><loc>http://www.example.com/sitemap1.xml.gz</loc></sitemap>
   <sitemap><loc>http://www.example.com/sitemap2.xml.gz</loc></sitemap>
</sitemapindex>"""
PAGES = (
    "http://www.example.com/",
    "http://www.example.com/catalog?item=12&desc=vacation_hawaii",
)


def test_the_samples_of_the_protocol() -> None:
    assert read(SAMPLE).pages == PAGES
    assert read(gzip.compress(SAMPLE)).pages == PAGES
    assert read(INDEX).sitemaps == tuple(
        f"http://www.example.com/sitemap{i}.xml.gz" for i in (1, 2)
    )
    assert read(INDEX).pages == ()


def test_plain_lists_and_feeds() -> None:
    assert read(b"\xef\xbb\xbfhttp://a.de/1\r\nhttp://a.de/2\n").pages == (
        "http://a.de/1",
        "http://a.de/2",
    )
    rss = b"<rss><channel><link>http://a.de/</link><item><link>http://a.de/1</link></item></channel></rss>"
    assert read(rss).pages == ("http://a.de/1",)
    atom = b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="http://a.de/2"/></entry></feed>'
    assert read(atom).pages == ("http://a.de/2",)


def test_of_a_broken_sitemap_what_can_be_read() -> None:
    assert read(SAMPLE[:-30]).pages[:1] == PAGES[:1]
    assert read(gzip.compress(SAMPLE * 50)[:-20]).pages[:1] == PAGES[:1]


@pytest.mark.parametrize("body", [b"", b"<", b"<html>", b"\x1f\x8bxx", b"\x00" * 99, b"<a>&b;</a>"])
def test_what_is_no_sitemap_is_an_empty_one(body: bytes) -> None:
    assert read(body).pages == ()
    assert read(body).sitemaps == ()


def test_entities_are_not_blown_up_and_files_not_read() -> None:
    laughs = (
        b'<!DOCTYPE x [<!ENTITY a "'
        + b"http://a.de/" * 1000
        + b'"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    )
    found = read(laughs + b"<urlset><url><loc>&a;</loc></url><url><loc>&f;</loc></url></urlset>")
    assert not [page for page in found.pages if "root:" in page or len(page) > 1000]


def test_all_members_of_a_packed_sitemap_are_read_and_marked_bytes_decoded() -> None:
    half = len(SAMPLE) // 2
    packed = gzip.compress(SAMPLE[:half]) + gzip.compress(SAMPLE[half:])
    assert read(packed).pages == PAGES
    listed = "\ufeffhttp://a.de/1\nhttp://a.de/2"
    for encoding in ("utf-16-le", "utf-16-be"):
        assert read(listed.encode(encoding)).pages == ("http://a.de/1", "http://a.de/2")
    declared = SAMPLE.decode().replace("UTF-8", "UTF-16")
    assert read(declared.encode("utf-16")).pages == PAGES


def test_a_broken_sitemap_says_so_and_an_empty_one_does_not() -> None:
    assert read(b"<html><p>404").problem == "damaged: no sitemap"
    assert read(gzip.compress(SAMPLE * 50)[:-20]).problem.startswith("truncated")
    assert read(b"<urlset/>").problem == read(SAMPLE).problem == ""
