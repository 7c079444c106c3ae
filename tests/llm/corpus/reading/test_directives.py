"""Directives as Google's robots meta tag specification gives them, in headers and meta elements."""

import pytest

from llm.corpus.reading.directives import date_of, read


@pytest.mark.parametrize(
    ("date", "meant"),
    [
        ("Sat, 25 Jun 2050 15:00:00 GMT", "2050-06-25T15:00:00Z"),  # RFC 822
        ("25 Jun 2050 15:00:00 PST", "2050-06-25T23:00:00Z"),
        ("Saturday, 25-Jun-50 15:00:00 GMT", "2050-06-25T15:00:00Z"),  # RFC 850
        ("25-Jun-2050 15:00:00 EST", "2050-06-25T20:00:00Z"),
        ("2050-06-25", "2050-06-25T00:00:00Z"),  # ISO 8601
        ("2050-06-25T15:00:00+02:00", "2050-06-25T13:00:00Z"),
        ("20500625T150000Z", "2050-06-25T15:00:00Z"),
        ("2050-06-25 15:00:00 EST", "2050-06-25T20:00:00Z"),
        ("Sat Jun 25 15:00:00 2050", "2050-06-25T15:00:00Z"),
        ("Jun 25, 2050", "2050-06-25T00:00:00Z"),
        ("Fri, 31 Dec 9999 23:59:59 -2300", ""),
        ("one day", ""),
    ],
)
@pytest.mark.parametrize("between", [", ", " ", ",", "; "])
def test_a_date_hides_nothing_behind_it(date: str, meant: str, between: str) -> None:
    if (date, between) == ("one day", " "):
        return  # nobody can tell where that ends
    first, second = read(f"unavailable_after: {date}{between}noai")
    assert (first.name, second) == ("unavailable_after", ("noai", "", ""))
    assert date_of(first) == meant


@pytest.mark.parametrize(
    "said",
    [
        "index, follow, max-snippet:-1, max-image-preview:large, max-video-preview:-1, noai",
        "max-snippet: 20 noai",
        "max-video-preview : -1,noai",
        "max-snippet:, noai",
        "max-something: 3, noai",
        "notranslate, noimageindex, indexifembedded, noai",
        "INDEX;NOAI",
        "robots: noindex, *: noai",
    ],
)
def test_no_directive_with_a_value_is_a_crawler_s_name(said: str) -> None:
    for text in (said, [said]):
        assert ("noai", "", "") in read(text)


def test_the_value_of_a_directive_is_no_directive() -> None:
    assert read("max-image-preview:none, max-snippet: -1") == [
        ("max-image-preview", "none", ""),
        ("max-snippet", "-1", ""),
    ]
    assert read("max-snippet: noindex")[-1] == ("noindex", "", "")
    assert read("max-image-preview: noindex")[-1] == ("noindex", "", "")


@pytest.mark.parametrize("name", ["otherbot", "Googlebot-News", "OtherBot/2.0", "max-bot"])
@pytest.mark.parametrize("first", ["noindex", "unavailable_after: 2050-01-01", "max-snippet: 1"])
def test_a_crawler_s_name_holds_to_the_end_of_its_line(name: str, first: str) -> None:
    found = read([f"{name}: {first}, nofollow", "noarchive"])
    assert {one.agent for one in found[:2]} == {name.lower().partition("/")[0]}
    assert found[-1] == ("noarchive", "", "")
