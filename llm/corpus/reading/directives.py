"""Robots directives, as meta elements and X-Robots-Tag lines give them: what is asked, and of whom.

The rules are those of Google's robots meta tag specification, which RFC 9309 leaves to others.
"""

import datetime
import email.utils
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

UNAVAILABLE_AFTER = "unavailable_after"
# What a directive may be. Only what stands before one of these and a colon is a crawler's name.
_WORDS = (
    "all index follow archive snippet none noindex nofollow noarchive nocache nosnippet notranslate "
    "noimageindex nositelinkssearchbox indexifembedded noodp noydir noai noimageai notrain noml"
)
_VALUED = "max-snippet max-image-preview max-video-preview"
_KNOWN = "|".join([*_WORDS.split(), *_VALUED.split(), UNAVAILABLE_AFTER])

# Longer texts hold no directives that anybody reads.
_MAX_CHARACTERS = 4000

_ZONE = rf"(?:[+-]\d\d:?\d\d|(?!(?:{_KNOWN})(?![\w-]))[a-z]{{1,4}}(?![\w-]))"
_TIME = rf"\d{{1,2}}:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?:\s{{0,3}}{_ZONE})?"
_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE = re.compile(
    # RFC 822, 1123 and 850: Saturday, 25-Jun-50 15:00:00 GMT
    rf"(?:{_DAY},?\s{{1,3}})?\d{{1,2}}[\s-]{_MONTH}[\s-]\d{{2,4}}(?:,?\s{{1,3}}{_TIME})?"
    # ISO 8601: 2050-06-25T15:00:00+02:00, 20500625
    rf"|\d{{4}}-?\d\d-?\d\d(?:[t\s]\d\d:?\d\d(?::?\d\d(?:\.\d{{1,9}})?)?(?:\s{{0,3}}{_ZONE})?)?"
    # C's asctime: Sat Jun 25 15:00:00 2050
    rf"|{_DAY}\s{{1,3}}{_MONTH}\s{{1,3}}\d{{1,2}}\s{{1,3}}{_TIME}\s{{1,3}}\d{{4}}"
    # Jun 25, 2050
    rf"|{_MONTH}\s{{1,3}}\d{{1,2}},?\s{{1,3}}\d{{4}}(?:\s{{1,3}}{_TIME})?"
    r"|[^,;]{0,80}"
)
_LIMITED = re.compile(rf"{UNAVAILABLE_AFTER}\s{{0,9}}[:=]?\s{{0,9}}")
_LIMIT = re.compile(
    r"(max-snippet|max-video-preview)\s{0,9}[:=]\s{0,9}([+-]?\d{0,9})"
    r"|(max-image-preview)\s{0,9}[:=]\s{0,9}((?:none|standard|large)(?![\w-]))?"
)
_SCOPE = re.compile(rf"([^\s,;:]+)\s{{0,9}}:\s{{0,9}}(?=(?:{_KNOWN})(?![\w-]))")
_WITH_VALUE = re.compile(r"([^\s,;:=]+)\s{0,9}[:=]\s{0,9}([^\s,;]*)")
_WORD = re.compile(r"[^\s,;:=]+")
_BETWEEN = re.compile(r"[\s,;:=]+")
_EVERYBODY = ("*", "robots")


class Directive(NamedTuple):
    """One directive. agent: the crawler that it is for, "" for all. Everything in lower case."""

    name: str
    value: str = ""
    agent: str = ""


def read(said: str | Sequence[str]) -> list[Directive]:
    """The directives of a meta element's content or of header lines, in order.

    A sequence holds the lines of a header; a crawler's name holds to the end of its line. In one text
    some client may have joined several lines by commas: there, what keeps a page out counts for
    everybody wherever a line may have begun.
    """
    if isinstance(said, str):
        return list(_line(said, joined=True))
    return [found for line in said for found in _line(line, joined=False)]


def date_of(directive: Directive) -> str:
    """When a page is no longer to be had (UTC, 2050-06-25T15:00:00Z); "": nobody can tell."""
    if directive.name != UNAVAILABLE_AFTER:
        return ""
    try:
        found = _date(directive.value)
        if found.tzinfo is None:
            found = found.replace(tzinfo=datetime.UTC)
        return found.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, TypeError, OverflowError):
        return ""


def _line(text: str, joined: bool) -> Iterator[Directive]:
    text = text[:_MAX_CHARACTERS].lower()
    agent, place, own = "", 0, True
    while place < len(text):
        if found := _BETWEEN.match(text, place):
            own = own and "," not in found[0]
            place = found.end()
        elif found := _LIMITED.match(text, place):
            date = _DATE.match(text, found.end())
            assert date is not None
            yield Directive(UNAVAILABLE_AFTER, date[0].strip(), agent)
            place = date.end()
        elif found := _LIMIT.match(text, place):
            yield Directive(found[1] or found[3], found[2] or found[4] or "", agent)
            place = found.end()
        elif found := _SCOPE.match(text, place):
            agent = "" if found[1] in _EVERYBODY else found[1].partition("/")[0]
            place, own = found.end(), True
        elif found := _WITH_VALUE.match(text, place):
            yield Directive(found[1], found[2], agent)
            place = found.end()
        else:
            found = _WORD.match(text, place)
            assert found is not None
            # Nobody is harmed by links that are followed; a page may be kept only where it is sure.
            doubted = joined and not own and found[0] != "nofollow"
            yield Directive(found[0], agent="" if doubted else agent)
            place = found.end()


def _date(text: str) -> datetime.datetime:
    """A date in any of the forms. Raises ValueError or TypeError for what is none."""
    iso = re.match(r"\d{4}-?\d\d-?\d\d", text)
    if not iso:
        plain = re.sub(rf"^({_MONTH})\s+(\d+),?\s+(\d+)", r"\2 \1 \3", text)
        return email.utils.parsedate_to_datetime(plain if ":" in plain else f"{plain} 00:00:00")
    clock = text[iso.end() :].lstrip("t ")
    zone = re.search(r"[a-z]{2,4}$", clock)
    hours = clock[: zone.start()].strip() if zone else clock
    found = datetime.datetime.fromisoformat(
        f"{iso[0]}T{hours.replace(' ', '').upper()}" if hours else iso[0]
    )
    if zone:
        named = email.utils.parsedate_to_datetime(f"1 Jan 2000 00:00:00 {zone[0]}")
        found = found.replace(tzinfo=named.tzinfo)
    return found
