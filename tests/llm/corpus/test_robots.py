"""robots.txt must be read as RFC 9309 and the rest of the world read it."""

import json
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
