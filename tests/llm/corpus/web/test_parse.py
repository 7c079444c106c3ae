"""What is read in a process apart is what is read at once."""

import asyncio
import gzip
from collections.abc import Iterator

import pytest

from llm.corpus.web.parse import AT_ONCE_BYTES, File, Page, Parser, parse

HEADERS = {"x-robots-tag": ["unavailable_after: 2050-06-25"], "refresh": ["0; url=/moved"]}
LINKS = b"".join(b"<a href='/p/%d?q=%%20 x'>y</a>" % at for at in range(3_000))
PAGE = b"<link rel=alternate type=application/rss+xml href=/feed>" + LINKS
LOCS = b"".join(b"<url><loc>http://a.test/%d?a=1&amp;b=2</loc></url>" % at for at in range(50))


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser() as made:
        yield made


def test_a_large_page(parser: Parser) -> None:
    assert len(PAGE) > AT_ONCE_BYTES
    found = asyncio.run(parser.links(PAGE, "http://a.test/d/", HEADERS, "penstock"))
    assert found == parse(Page(PAGE, "http://a.test/d/", HEADERS, "penstock"))
    assert len(found.urls) == 3_000 and found.feeds and found.refresh and found.until
    assert type(found.urls[0]) is type(found.refresh)


def test_a_packed_sitemap(parser: Parser) -> None:
    body = gzip.compress(b"<urlset>" + LOCS + b"</urlset>")
    found = asyncio.run(parser.listing(body, "http://a.test/map.xml.gz"))
    assert found == parse(File(body, "http://a.test/map.xml.gz"))
    assert found.pages[7].url == "http://a.test/7?a=1&b=2" and not found.problem


def test_what_is_none_says_so(parser: Parser) -> None:
    found = asyncio.run(parser.listing(b"\x1f\x8bxx", "http://a.test/map.xml.gz"))
    assert found.problem == "damaged: no sitemap"
