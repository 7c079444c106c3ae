"""robots.txt must be read as RFC 9309 and the rest of the world read it."""

import json
import sys
from pathlib import Path

import pytest

from llm.corpus import robots

# The examples of RFC 9309, section 5.1.
RFC_SIMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""
RFC_LONGEST = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"


@pytest.mark.real_data
def test_verdicts_agree_with_those_recorded_for_real_sites(shared_data: Path) -> None:
    right = total = right_disallowed = disallowed = 0
    path = shared_data / "crawl" / "robots" / "verdicts_200.jsonl"
    with path.open(encoding="utf8") as lines:
        for line in lines:
            site = json.loads(line)
            for agent, address, expected in site["verdicts"]:
                url = address if "://" in address else site["host"] + address
                agrees = robots.allowed(site["robots"], agent, url) == expected
                total += 1
                right += agrees
                disallowed += not expected
                right_disallowed += agrees and not expected
    assert (total, disallowed) == (2796, 1556)
    assert right / total >= 0.99
    assert right_disallowed / disallowed >= 0.99


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("otherbot", "/publications/x", True),
        ("otherbot", "/example/x", False),
        ("otherbot", "/a.gif", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/else", False),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/publications/", True),
        ("quxbot", "/example/x", True),
    ],
)
def test_the_examples_of_rfc_9309(agent: str, path: str, expected: bool) -> None:
    assert robots.allowed(RFC_SIMPLE, agent, f"http://example.com{path}") is expected


def test_the_longest_rule_wins_as_in_rfc_9309() -> None:
    page = "http://example.com/example/page/"
    assert robots.allowed(RFC_LONGEST, "foobot", page)
    assert not robots.allowed(RFC_LONGEST, "foobot", page + "disallowed.gif")


def test_a_delay_is_the_longer_of_crawl_delay_and_request_rate() -> None:
    rules = robots.read("User-agent: *\nCrawl-delay: 2\nRequest-rate: 1/5s\n", "penstock")
    assert rules.delay_seconds == 5
    assert robots.read("User-agent: *\nDisallow:", "penstock").delay_seconds is None


def test_answers_without_rules_allow_everything() -> None:
    for status in (301, 401, 403, 404, 410):
        rules = robots.from_response(status, b"User-agent: *\nDisallow: /", "penstock")
        assert rules.allowed("http://example.com/x")
    garbage = bytes(range(256)) * 10
    assert robots.from_response(200, garbage, "penstock").allowed("http://example.com/x")


def test_a_byte_order_mark_hides_no_rule() -> None:
    body = b"\xef\xbb\xbfUser-agent: *\nDisallow: /x"
    assert not robots.from_response(200, body, "penstock").allowed("http://example.com/x")


def verdict(robots_txt: str, path: str, agent: str = "penstock") -> bool:
    return robots.allowed(robots_txt, agent, f"http://example.com{path}")


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        # RFC 9309, 2.2.2: the table of percent-encoded rules and addresses.
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"),
        ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar"),
        ("/foo/bar/\u30c4", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        # 2.2.3: what stands for itself only where it is escaped.
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
        ("/path/foo-%24", "/path/foo-$"),
        ("/a%2fb", "/a%2Fb"),
        ("/*?x=", "/p?x=1"),
        ("/this/*/exactly$", "/this/and/that/exactly"),
        ("/p # a comment", "/p"),
    ],
)
def test_a_rule_and_an_address_that_rfc_9309_calls_the_same_match(rule: str, path: str) -> None:
    assert not verdict(f"User-agent: *\nDisallow: {rule}", path)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/Foo", "/foo"),  # 2.2.2: paths are case-sensitive
        ("/a/b", "/a%2Fb"),  # a reserved character is not its escape
        ("/path/file-with-a-%2A.html", "/path/file-with-a-x.html"),
        ("/path/foo-%24", "/path/foo-"),
        ("/this/*/exactly$", "/this/and/that/exactly/not"),
        ("/", "/robots.txt"),  # 2.2.2: that one is always allowed
        ("", "/anything"),
    ],
)
def test_a_rule_says_nothing_of_other_addresses(rule: str, path: str) -> None:
    assert verdict(f"User-agent: *\nDisallow: {rule}", path)


@pytest.mark.parametrize(
    ("lines", "agent", "expected"),
    [
        # 2.2.1: names in any case; the most specific group; groups of one name are one group.
        (["User-agent: PENSTOCK", "Disallow: /x"], "Penstock/0.1", False),
        (["User-agent: *", "Disallow: /", "User-agent: penstock", "Disallow:"], "penstock", True),
        (
            ["User-agent: penstock", "Disallow: /y", "User-agent: *", "Disallow: /",
             "User-agent: penstock", "Disallow: /x"],
            "penstock",
            False,
        ),
        (["User-agent: pen", "Disallow: /x"], "penstock", True),
        (["User-agent: stock", "Disallow: /x"], "pen-stock", True),
        (["User-agent: penstock/9.9", "Disallow: /x"], "penstock/0.1", False),
        (["User-agent: penstock"], "Mozilla/5.0 (compatible; Penstock/1.0)", True),
        (["User-agent: penstock", "Disallow: /x"], "Mozilla/5.0 (compatible; Penstock/1)", False),
        (["User-agent: bot", "Disallow: /x"], "Penstock/0.1 (+https://x/bot)", True),
        (["User-agent: penstock", "Disallow: /x"], "Penstock 0.1", False),
        # 2.2.4: other records end no group, wherever they stand.
        (["User-agent: penstock", "Crawl-delay: 3", "User-agent: b", "Disallow: /x"], "penstock", False),
        (["User-agent: penstock", "Sitemap: http://a.de/s", "User-agent: b", "Disallow: /x"], "penstock", False),
        (["User-agent: penstock", "Unheard: of", "User-agent: b", "Disallow: /x"], "penstock", False),
        # Rules before any group are for nobody; a rule of the same length: allow (2.2.2).
        (["Disallow: /", "User-agent: *", "Disallow: /y"], "penstock", True),
        (["User-agent: *", "Disallow: /x", "Allow: /x"], "penstock", True),
        (["User-agent: *", "Disallow: /x/index.html", "Allow: /x"], "penstock", True),
        (["User-agent: *", "Disallow: /", "Allow: /x/index.html"], "penstock", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_groups_are_those_of_rfc_9309(
    lines: list[str], agent: str, expected: bool, end: str
) -> None:
    assert verdict(end.join(lines), "/x", agent) is expected


def test_what_only_python_takes_for_the_end_of_a_line_is_none() -> None:
    for letter in "\x0b\x0c\x1c\x85\u2028":
        assert verdict(f"User-agent: *\nDisallow: /a{letter}Disallow: /x", "/x")
        assert not verdict(f"User-agent: *\nDisallow: /a{letter}b", f"/a{letter}b")


def test_a_pause_is_for_the_crawlers_named_just_before_it() -> None:
    text = "User-agent: slowbot\nCrawl-delay: 9\nUser-agent: *\nDisallow: /x\nCrawl-delay: 2"
    assert robots.read(text, "slowbot").delay_seconds == 9
    assert robots.read(text, "penstock").delay_seconds == 2
    assert not verdict(text, "/x", "slowbot")


def test_at_least_500_kib_are_read_and_the_rest_does_not_matter() -> None:
    filler = b"# " + b"x" * 97 + b"\n"
    body = filler * 5119 + b"User-agent: *\nDisallow: /early\n"
    assert 500 * 1024 - 1000 < len(body) < 512 * 1024
    rules = robots.from_response(200, body + filler * 9999 + b"Disallow: /late\n", "penstock")
    assert not rules.allowed("http://example.com/early")
    assert rules.allowed("http://example.com/late")


def test_twice_as_many_crawlers_in_a_robots_txt_are_twice_the_work() -> None:
    def work(count: int) -> int:
        """Calls of functions, of Python's and of libraries, that reading takes."""
        text = "".join(f"User-agent: bot{i}\n" for i in range(count)) + "Disallow: /x"
        calls = 0

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            assert verdict(text, "/x")
        finally:
            sys.setprofile(None)
        return calls

    few, many = work(1000), work(2000)
    assert 1000 < few < many < 2.1 * few
