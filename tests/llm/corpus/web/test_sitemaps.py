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


URL = "<url><loc>https://a.example/?a=1&amp;b=2</loc></url>"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@pytest.mark.parametrize(
    "fault",
    [
        f"\n{DECLARATION}<urlset>{URL}</urlset>",
        f"Warning: a notice\n{DECLARATION}<urlset>{URL}</urlset>",
        f"<urlset><t>a&nbsp;b</t>{URL}</urlset>",
        f"<!DOCTYPE urlset SYSTEM 'x.dtd'><urlset><t>a&nbsp;b&undefined;</t>{URL}</urlset>",
        f"<urlset><t>a & b &amp c</t>{URL}</urlset>",
        f"<urlset><t>a < b</t>{URL}</urlset>",
        f'<urlset a="1" a="2">{URL}</urlset>',
        f"<urlset a=1 b>{URL}</urlset>",
        f'<urlset a="1>{URL}</urlset>',
        f"<urlset><t>\x01\x0b</t>{URL}</urlset>",
        f"<urlset><t>&#0;&#x1;&#x999999;</t>{URL}</urlset>",
        f"<urlset><t>a</u>{URL}</urlset>",
        f"<urlset></url></urlset>{URL}</urlset>".replace(URL, f"<urlset>{URL}"),
        f"<urlset><url><lastmod>2020{URL}</urlset>",
        f"<urlset/>{DECLARATION}<urlset>{URL}</urlset>",
        f"<urlset><!-- a -- b -->{URL}</urlset>",
        f"<urlset><!-- a {URL}</urlset>",
        f"<urlset><i:image><i:loc>https://a.example/i.png</i:loc></i:image>{URL}</urlset>",
        f"<urlset><t>&x;</t>{URL}</urlset>".replace("1&amp;b", "1&b"),
        f"<urlset><t>&x;</t>{URL}</urlset>".replace("https:", "<![CDATA[https:")
        .replace("&amp;", "&").replace("</loc>", "]]></loc>"),
        f"<urlset><t>&x;</t>{URL}</urlset>".replace("&amp;", "&#38;"),
        f"<urlset><t>&x;</t>{URL}</urlset>".replace("</loc>", ""),
        f"{DECLARATION}<urlset>{URL}</urlset>".replace("UTF-8", "UTF-16"),
        f"{DECLARATION}<urlset>{URL}</urlset>".replace("UTF-8", "nonsense"),
    ],
)  # fmt: skip
def test_a_fault_spoils_no_address_behind_it(fault: str) -> None:
    # XML 1.0, 4.6: amp, lt, gt, apos and quot are always known.
    found = read(fault.encode())
    assert (found.pages, found.problem) == (("https://a.example/?a=1&b=2",), "")


def test_a_byte_that_is_no_utf_8_stays_that_byte() -> None:
    body = (
        DECLARATION.encode() + b"<urlset><t>\xe9</t><url><loc>/caf\xe9</loc></url>" + URL.encode()
    )
    assert read(body).pages == ("/caf%E9", "https://a.example/?a=1&b=2")
    latin = body.replace(b"UTF-8", b"ISO-8859-1")
    assert read(latin).pages[0] == "/caf\xe9"


def test_feeds_with_faults_lose_nothing() -> None:
    rss = (
        "<rss><channel><title>a&nbsp;&mdash; b & c</title><item><link>/1?a=1&amp;b=2</link>"
        "<description>a<br>b</description></item><item><title>x</item><item><link>/2?a=1&b=2</link>"
        '<atom:link rel="self" href="/no"/></item></channel></rss>'
    )
    assert read(rss.encode()).pages == ("/1?a=1&b=2", "/2?a=1&b=2")
    atom = (
        "<feed><link rel='self' href='/no'/><entry><title>a & b</title><link href='/1?a=1&amp;b=2' "
        "rel='alternate'/><link rel='edit' href='/no'/></entry><entry><link href=/2 /></entry></feed>"
    )
    assert read(atom.encode()).pages == ("/1?a=1&b=2", "/2")


CYRILLIC = "https://example.com/новости/статья?q=тест"


@pytest.mark.parametrize("encoding", ["windows-1251", "koi8-r", "iso-8859-5", "utf-8"])
@pytest.mark.parametrize("kind", ["rss", "sitemap"])
def test_addresses_are_read_in_the_encoding_that_is_declared(encoding: str, kind: str) -> None:
    body = {
        "rss": f"<rss><channel><item><link>{CYRILLIC}</link></item></channel></rss>",
        "sitemap": f"<urlset><url><loc>{CYRILLIC}</loc></url></urlset>",
    }[kind]
    declared = f'<?xml version="1.0" encoding="{encoding}"?>\n{body}'
    assert read(declared.encode(encoding)).pages == (CYRILLIC,)
    assert read(body.encode(encoding), encoding.upper()).pages == (CYRILLIC,)
    assert read(gzip.compress(body.encode(encoding)), f'"{encoding}"').pages == (CYRILLIC,)
    # What the server says wrongly spoils nothing, as long as it does not fit.
    for wrong in ("utf-8", "iso-8859-1", "no-such-charset", "utf-16"):
        assert read(declared.encode(encoding), wrong).pages == (CYRILLIC,)
