"""Links are what a reader can click on, and what the page does not ask crawlers to leave alone."""

from urllib.parse import quote

import pytest

from llm.corpus.web.links import read_headers, read_links

PAGE = "http://site.test/docs/page.html"


def test_links_are_absolute_unique_and_in_order() -> None:
    body = (
        b"<a href='b.html'>b</a><A HREF=/a?utm_source=x>a</A><a href='b.html#x'>b again</a>"
        b"<a href='mailto:x@y.z'>m</a><a>none</a><a href=''>empty</a><a href='pic.PNG'>p</a>"
        b"<!-- <a href='/commented'> --><script>'<a href=\"/script\">'</script>"
    )
    links = read_links(body, PAGE, {})
    assert links.urls == (
        ("http://site.test/docs/b.html", ""),
        ("http://site.test/a", "http://site.test/a?utm_source=x"),
    )
    assert not links.noindex


def test_base_moves_relative_links() -> None:
    body = b"<head><base href='/other/'></head><a href='x'>x</a>"
    assert read_links(body, PAGE, {}).urls == (("http://site.test/other/x", ""),)


def test_robots_directives_of_page_and_header_are_heard() -> None:
    link = b"<a href='/x'>x</a>"
    assert read_links(b"<meta name=robots content='noindex, follow'>" + link, PAGE, {}).noindex
    assert read_links(b"<meta name=robots content=none>" + link, PAGE, {}).urls == ()
    said = read_links(link, PAGE, {"x-robots-tag": "noindex, nofollow"})
    assert (said.noindex, said.urls) == (True, ())
    assert read_links(b"<a rel='external NoFollow' href=/x>x</a>", PAGE, {}).urls == ()


def test_directives_for_other_crawlers_are_theirs() -> None:
    link = b"<a href='/x'>x</a>"

    def read(said: str, agent: str = "Penstock") -> tuple[bool, bool]:
        links = read_links(link, PAGE, {"x-robots-tag": said}, agent)
        return links.noindex, not links.urls

    assert read("otherbot: noindex, nofollow") == (False, False)
    assert read("otherbot: noindex, penstock: nofollow") == (False, True)
    assert read("noindex, otherbot: nofollow") == (True, False)
    assert read("unavailable_after: 25 Jun 2030 15:00:00 PST, noindex") == (True, False)
    named = b"<meta name=penstock content=noindex><meta name=otherbot content=nofollow>"
    assert read_links(named + link, PAGE, {}, "Penstock").noindex
    assert read_links(named + link, PAGE, {}, "Penstock").urls


def test_feeds_are_named_in_the_head() -> None:
    body = (
        b"<link rel='alternate' type='application/rss+xml' href='/feed'><link rel=alternate"
        b" hreflang=de href='/de'><link rel=stylesheet type='application/atom+xml' href='/no'>"
        b"<link rel='Alternate' type='application/atom+xml' href='atom.xml?utm_source=x'>"
    )
    assert tuple(feed.url for feed in read_links(body, PAGE, {}).feeds) == (
        "http://site.test/feed",
        "http://site.test/docs/atom.xml",
    )


def test_bytes_that_are_no_page_have_no_links() -> None:
    for body in (b"", b"\x00" * 50, bytes(range(256)) * 20, b"<a href='http://[broken'>x</a>"):
        assert read_links(body, PAGE, {}).urls == ()


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("", "utf-8"), ("windows-1251", "windows-1251"), ("Shift_JIS", "cp932"), ("gb2312", "gbk")],
)
@pytest.mark.parametrize("where", ["http", "meta"])
def test_paths_are_in_utf8_and_queries_in_the_encoding_of_the_page(
    declared: str, encoding: str, where: str
) -> None:
    words = {"windows-1251": "да", "cp932": "日本", "gbk": "汉"}.get(encoding, "köln")
    meta = f"<meta charset='{declared}'>" if declared and where == "meta" else ""
    body = f"{meta}<a href='/{words}?q={words}#{words}'>k</a>".encode(encoding)
    headers = {"content-type": f'text/html; charset="{declared}"'} if where == "http" else {}
    query = quote(words.encode(encoding))
    links = read_links(body, PAGE, headers)
    assert [link.url for link in links.urls] == [f"http://site.test/{quote(words)}?q={query}"]


def test_what_the_encoding_of_the_page_lacks_is_sent_as_a_reference() -> None:
    body = "<meta charset=koi8-r><a href='/s?q=да漢'>k</a>".encode("koi8-r", "xmlcharrefreplace")
    links = read_links(body, PAGE, {})
    assert links.urls[0].url == "http://site.test/s?q=%C4%C1%26%2328450%3B"
    # A page of ASCII alone is in the encoding that it declares, too.
    links = read_links(b"<meta charset=koi8-r><a href='/s?q=&#1076;'>k</a>", PAGE, {})
    assert links.urls[0].url == "http://site.test/s?q=%C4"


def test_of_several_bases_the_first_with_an_address_counts() -> None:
    # HTML, 4.2.3
    link = b"<a href=y>y</a>"
    for bases, found in (
        (b'<base target=_top><base href="/x/">', "http://site.test/x/y"),
        (b'<base href="/x/"><base href="/z/">', "http://site.test/x/y"),
        (b'<base href="data:,"><base href="/x/">', "http://site.test/docs/y"),
        (b"<base target=_top>", "http://site.test/docs/y"),
    ):
        assert read_links(bases + link, PAGE, {}).urls == ((found, ""),)


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0; url=/docs/", "/docs/"),
        ("0;URL='/docs/'", "/docs/"),
        ('5 ; url = "/docs/" and more', "/docs/"),
        ("0,/docs/", "/docs/"),
        ("0 /docs/", "/docs/"),
        (".5;url=/docs/", "/docs/"),
        ("0;url=sub/", "/docs/sub/"),
        ("30", None),
        ("0;", None),
        ("; url=/docs/", None),
        ("soon; url=/docs/", None),
        ("60; url=/docs/page.html#top", None),
        ("0; url=javascript:go()", None),
    ],
)
def test_a_refresh_leads_on(content: str, target: str | None) -> None:
    # HTML, 4.2.5.3: shared declarative refresh steps
    body = f"<meta http-equiv=Refresh content='{content}'>".replace("'", '"', 1)
    body = body[: -len("'>")] + '">' if '"' not in content else body.replace('="', "='", 1)
    wanted = None if target is None else f"http://site.test{target}"
    for links in (
        read_links(body.encode(), PAGE, {}),
        read_headers({"refresh": (content,)}, url=PAGE),
        read_links(b"<p>x</p>", PAGE, {"refresh": content}),
    ):
        assert (links.refresh.url if links.refresh else None) == wanted


def test_each_header_line_has_a_scope_of_its_own() -> None:
    def noindex(said: str | tuple[str, ...]) -> bool:
        return read_headers({"x-robots-tag": said}, "penstock").noindex

    assert noindex(("otherbot: nofollow", "noindex"))
    assert not noindex(("otherbot: nofollow, noindex",))
    assert not noindex(("otherbot: noindex, nofollow", "nofollow"))
    assert noindex(("otherbot: nofollow", "penstock: noindex"))
    # As clients join two lines: what keeps a page out counts in doubt.
    assert noindex("otherbot: nofollow, noindex")


def test_a_page_asks_to_be_left_out_from_its_date_on() -> None:
    said = {"x-robots-tag": ("unavailable_after: 25 Jun 2030 15:00:00 PST",)}
    links = read_headers(said, "penstock")
    assert links.until == "2030-06-25T23:00:00Z"
    assert not links.asks_to_be_left_out("2030-06-25T22:59:59Z")
    assert links.asks_to_be_left_out("2030-06-25T23:00:00Z")
