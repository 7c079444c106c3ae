"""Addresses without end: calendars, sessions, parameters in every combination.

Addresses that differ only in numbers, or only in the values of their parameters, have one pattern; of
each pattern a fixed number are let in. An address that has no such part is its own pattern and always let in.
"""

import re
from urllib.parse import urlsplit

# An address that repeats a part of its path so often leads round in circles.
_MAX_REPEATS = 4
_MAX_PARTS = 40
# An address with this many parameters, or with one this many times, is not a page of its own.
_MAX_PARAMETERS = 16
_MAX_SAME_PARAMETER = 4

ENDLESS = "trap: endless by itself"

# How much more is let in of a path with whatever parameters than with the same ones.
_ANY_PARAMETERS = 4

_MONTHS = (
    "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sep(tember)?|oct(ober)?"
)
_VARIES = re.compile(
    rf"[0-9a-f]{{8}}(?:-?[0-9a-f]{{4}}){{3}}-?[0-9a-f]{{12}}|[0-9a-f]{{16,}}"
    # Letters and digits without any pause: a token of a session, a number to the base of 36.
    rf"|(?<![a-z0-9])(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{{16,}}|\d+"
    rf"|(?<![a-z])(?:{_MONTHS}|nov(ember)?|dec(ember)?)(?![a-z])",
    re.IGNORECASE,
)


def is_endless(url: str) -> bool:
    """Whether an address by itself looks like one of endlessly many."""
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if part]
    if len(path) > _MAX_PARTS or any(path.count(part) >= _MAX_REPEATS for part in set(path)):
        return True
    if not parts.query:
        return False
    names = _names(parts.query)
    return len(names) > _MAX_PARAMETERS or any(
        names.count(name) > _MAX_SAME_PARAMETER for name in set(names)
    )


def patterns(url: str) -> list[tuple[str, int]]:
    """The patterns of an address, each with how many times the limit is let in of it."""
    parts = urlsplit(url)
    path = _VARIES.sub("0", parts.path)
    place = f"{parts.netloc}{path}"
    if not parts.query:
        return [(place, 1)] if path != parts.path else []
    names = "&".join(sorted({_VARIES.sub("0", name) for name in _names(parts.query)}))
    return [(f"{place}?{names}", 1), (f"{place}?", _ANY_PARAMETERS)]


def _names(query: str) -> list[str]:
    return [pair.partition("=")[0] for pair in query.split("&")]
