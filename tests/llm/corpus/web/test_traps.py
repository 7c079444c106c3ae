"""Endless addresses must be told from many: what varies in numbers or parameters has a share."""

import pytest

from llm.corpus.web.traps import is_endless, patterns
from llm.corpus.web.urls import normalise


@pytest.mark.parametrize(
    "group",
    [
        ["http://a.de/2024/05/12/", "http://a.de/1999/1/1/"],
        ["http://a.de/calendar/may/2024", "http://a.de/calendar/December/2030"],
        ["http://a.de/x?day=1&month=2", "http://a.de/x?day=30&month=11"],
        ["http://a.de/item/123", "http://a.de/item/4"],
        ["http://a.de/s/0123456789abcdef0/x", "http://a.de/s/fedcba98765432100/x"],
        ["http://a.de/s/k3j9x0q8zr7m2w5pt1/x", "http://a.de/s/9zq8w7e6r5t4y3u2i1op/x"],
        [
            "http://a.de/f/123e4567-e89b-12d3-a456-426614174000",
            "http://a.de/f/00000000-0000-0000-0000-000000000000",
        ],
    ],
)
def test_what_differs_in_numbers_dates_or_values_has_one_pattern(group: list[str]) -> None:
    assert len({patterns(url)[0] for url in group}) == 1


def test_pages_of_their_own_have_none_and_hosts_and_parameters_stay_apart() -> None:
    assert patterns("http://a.de/library/json.html") == []
    assert patterns("http://a.de/maybe/marching") == []
    assert patterns("http://a.de/1") != patterns("http://b.de/1")
    assert patterns("http://a.de/x?a=1")[0] != patterns("http://a.de/x?b=1")[0]
    assert patterns("http://a.de/x?a=1")[1] == patterns("http://a.de/x?b=1&c=2")[1]


def test_circles_and_heaps_of_parameters_are_endless_by_themselves() -> None:
    assert is_endless("http://a.de/" + "sub/" * 4)
    assert is_endless("http://a.de/" + "/".join(map(str, range(50))))
    assert is_endless("http://a.de/?" + "&".join(f"filter{i}=1" for i in range(20)))
    assert is_endless("http://a.de/?" + "&".join(f"tag={i}" for i in range(5)))
    assert not is_endless("http://a.de/a/b/a/c/a?tag=1&tag=2&page=3")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.de/x;jsessionid=0A1B2C3D",
        "http://a.de/x;sid=0123456789abcdef0123",
        "http://a.de/(S(lit3py55t21z5v55vlm25s55))/x",
        "http://a.de/x?PHPSESSID=0123456789abcdef",
        "http://a.de/x?sid=0123456789abcdef0123456789abcdef",
        "http://a.de/x?session_id=ZGVhZGJlZWZkZWFkYmVlZg&utm_medium=mail",
        "http://a.de/x?osCsid=0123456789abcdef0123456789&fbclid=x&gclid=y",
    ],
)
def test_sessions_are_no_part_of_an_address(url: str) -> None:
    assert normalise(url) == "http://a.de/x"


def test_short_values_may_be_the_numbers_of_pages() -> None:
    assert normalise("http://a.de/x?sid=24") == "http://a.de/x?sid=24"
