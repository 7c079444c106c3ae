"""One page, one address: what RFC 3986 and common sense call the same must be spelled the same."""

import pytest

from llm.corpus.web.urls import host, matches, normalise, origin

# RFC 3986, 5.4.1 and 5.4.2, base http://a/b/c/d;p?q (queries and fragments apart).
BASE = "http://a/b/c/d;p?q"
RFC_EXAMPLES = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g/",
    "g?y": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    "..g": "http://a/b/c/..g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
}


@pytest.mark.parametrize(("link", "expected"), RFC_EXAMPLES.items())
def test_links_resolve_as_in_rfc_3986(link: str, expected: str) -> None:
    assert normalise(link, BASE) == expected


@pytest.mark.parametrize(
    "group",
    [
        # RFC 3986, 6.2.2 and 6.2.3
        ["HTTP://www.EXAMPLE.com/", "http://www.example.com:80", "http://www.example.com/#top"],
        ["http://a.de/%7esmith/%3a", "http://a.de/~smith/%3A"],
        ["https://a.de:443/x", "https://user:secret@a.de/./x"],
        ["http://a.de/?b=1&a=2&utm_source=z", "http://a.de/?a=2&b=1&fbclid=q&gclid=1"],
        ["http://a.de/x;jsessionid=0F", "http://a.de/x?PHPSESSID=12"],
        ["http://münchen.de/ü", "http://xn--mnchen-3ya.de/%c3%bc"],
        ["http://a.de./", "http://a.de"],
    ],
)
def test_equal_addresses_get_one_spelling(group: list[str]) -> None:
    assert len({normalise(url) for url in group}) == 1
    for url in group:
        once = normalise(url)
        assert once is not None
        assert normalise(once) == once


@pytest.mark.parametrize(
    "pair",
    [
        ("http://a.de/x", "http://a.de/x/"),
        ("http://a.de/x", "https://a.de/x"),
        ("http://a.de/a%2Fb", "http://a.de/a/b"),
        ("http://a.de/?q=1", "http://a.de/?q=2"),
        ("http://a.de/X", "http://a.de/x"),
        ("http://a.de:8080/", "http://a.de/"),
    ],
)
def test_different_pages_stay_apart(pair: tuple[str, str]) -> None:
    assert normalise(pair[0]) != normalise(pair[1])


@pytest.mark.parametrize(
    "url",
    [
        "mailto:a@b.de",
        "javascript:void(0)",
        "ftp://a.de/",
        "/only/a/path",
        "http://",
        "http://a b/",
        "http://a.de:port/",
        "http://[::1/",
        "http://a.de/" + "x" * 3000,
        "http://" + "ü" * 80 + ".de/",
        "http://a.de/\ud800",
        "http://xn--a.example/",
        "http://b.xn--a.example/",
        "http://" + "a" * 64 + ".example/",
        "http://a..example/",
        "http://.example/",
        "",
    ],
)
def test_what_is_no_page_is_none(url: str) -> None:
    assert normalise(url) is None


def test_host_origin_and_patterns() -> None:
    url = "https://a.de:8443/docs/x?y=1"
    assert (host(url), origin(url)) == ("a.de:8443", "https://a.de:8443")
    assert matches(url, ("*/docs/*",))
    assert not matches(url, ("*/blog/*", "docs"))
    assert matches("http://a.de/x?y=[1]", ("*x?y=[1]",))
    assert not matches("http://a.de/xzy=1", ("*x?y=[1]",))


@pytest.mark.parametrize("query", ["a&b=", "print", "print=", "q=a%20b", "q=a+b", "q=%2B"])
def test_a_query_keeps_what_servers_may_tell_apart(query: str) -> None:
    assert normalise(f"http://a.de/?{query}") == f"http://a.de/?{query}"
