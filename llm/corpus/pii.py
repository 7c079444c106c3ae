"""Personal data in text, found and masked: addresses here, numbers and secrets in modules beside."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from string import hexdigits
from typing import NamedTuple

from llm.corpus.personal.numbers import cards, ibans, may_hold, phones
from llm.corpus.personal.secrets import secrets
from llm.corpus.pii_settings import KINDS, Kind

# Telephone numbers are checked against the plans of all countries, which change by the month.
LIBRARIES = ("phonenumbers",)


# Looked for from the @ outwards: a pattern that starts with the name would be tried at each letter.
_DOMAIN = re.compile(r"@((?:[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?\.)+[A-Za-z]{2,24})(?![A-Za-z])")
# Names of code go on so (a@b.mean_x); addresses do only where two were run together.
_NAME_GOES_ON = re.compile(r"_{1,3}[A-Za-z0-9(]")
_GENERIC = ("com", "edu", "gov", "info", "int", "mil", "net", "org")
# Before the @ of an address with a login (RFC 3986, 3.2.1).
_AUTHORITY = re.compile(r"://[^/?#\s]*$")
_AUTHORITY_GOES_ON = re.compile(r"[^/?#\s]{0,256}@")
# Letters of Latin script with their marks, and no others: text that is written without spaces may
# stand right before an address.
_LATIN = r"A-Za-z0-9_\xc0-\xd6\xd8-\xf6\xf8-\u024f\u0300-\u036f\u1e00-\u1eff"
_LOCAL_PART = re.compile(rf"(?<![{_LATIN}.%+'-])[{_LATIN}.%+'-]{{1,64}}$")
# Names of files such as logo@2x.png.
_NOT_A_DOMAIN = {
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "css",
    "html",
    "py",
    "js",
    "json",
    "txt",
}

# Cheap signs that a text may hold an address at all; each starts with a fixed character.
_IPV4_SIGN = re.compile(r"\.\d{1,3}\.\d")
_IPV6_SIGN = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV4 = re.compile(r"[0-9](?<![\w.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w)(?!\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f]{0,4}(?![\w:])")

# What stands before dotted numbers that are no address: versions, pinned packages, sections.
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:versions?|releases?|ver|rev|python|chrome|firefox|safari|section|sections|chapter"
    r"|figure|table|appendix|paragraph|oid)\b[\s:=#./(\"']{0,3}|§\s?|[A-Za-z0-9\]](?:==|>=|<=|~=|!=|>|<)"
    r"|[A-Za-z](?:-|/))$",
    re.IGNORECASE,
)


class Finding(NamedTuple):
    """One piece of personal data: text[start:end] is of `kind`, one of KINDS."""

    start: int
    end: int
    kind: Kind


def find(text: str) -> list[Finding]:
    """Every piece of personal data in the text, of all KINDS, in order, none overlapping."""
    return _find(text, KINDS)


def mask(text: str, kinds: Sequence[str] = KINDS) -> tuple[str, Counter[str]]:
    """Replace findings of these kinds by `<email>`, `<phone>`, ... Returns text and counts by kind."""
    counts: Counter[str] = Counter()
    pieces, last = [], 0
    for start, end, kind in _find(text, kinds):
        pieces += [text[last:start], f"<{kind}>"]
        counts[kind] += 1
        last = end
    return "".join([*pieces, text[last:]]), counts


def _find(text: str, kinds: Sequence[str]) -> list[Finding]:
    """The findings of these kinds. A kind that claims a place first keeps it from the others."""
    wanted = {*kinds}
    if "phone" in wanted:
        wanted |= {"credit_card", "iban"}  # which are digits too, and surer of themselves
    found = []
    for rank, (kind, spans) in enumerate(_FINDERS):
        if kind in wanted:
            found += [(start, end, rank, kind) for start, end in spans(text)]
    found.sort(key=lambda one: (one[0], one[2], -one[1]))
    apart: list[Finding] = []
    last = 0
    for start, end, _, kind in found:
        if start >= last:
            last = end
            if kind in kinds:
                apart.append(Finding(start, end, kind))
    return apart


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for match in _DOMAIN.finditer(text):
        last = match[1].rpartition(".")[2].lower()
        if last in _NOT_A_DOMAIN:
            continue
        if last not in _GENERIC and _NAME_GOES_ON.match(text, match.end()):
            continue
        before = text[max(0, match.start() - 65) : match.start()]
        local = _LOCAL_PART.search(before)
        if local is None:
            continue
        if _AUTHORITY.search(before) and not _AUTHORITY_GOES_ON.match(text, match.end()):
            continue  # who logs in where: secrets are masked as such
        name = local[0].lstrip("'")
        # Of _slanted_ and __bold__ text in Markdown, the marks on both sides are none of it.
        behind = text[match.end() : match.end() + 3]
        marks = len(behind) - len(behind.lstrip("_"))
        name = name[min(marks, len(name) - len(name.lstrip("_"))) :]
        if name and not name.endswith(".") and not name.startswith(".") and ".." not in name:
            yield match.start() - len(name), match.end()


def _ips(text: str) -> Iterator[tuple[int, int]]:
    if _IPV4_SIGN.search(text):
        for match in _IPV4.finditer(text):
            if _public(match[0]) and not _VERSION_BEFORE.search(
                text[max(0, match.start() - 24) : match.start()]
            ):
                yield match.span()
    if _IPV6_SIGN.search(text):
        yield from _ipv6(text)


def _ipv6(text: str) -> Iterator[tuple[int, int]]:
    """Looked for from its first colon outwards, as few texts have two colons so close."""
    last = 0
    for sign in _IPV6_SIGN.finditer(text):
        if sign.start() < last:
            continue
        start = sign.start()
        while start > last and sign.start() - start < 4 and text[start - 1] in hexdigits:
            start -= 1
        match = _IPV6.match(text, start)
        if match:
            last = match.end()
            if _public(match[0]):
                yield match.span()


def _public(address: str) -> bool:
    """Whether this is an address that may belong to somebody: valid and routed on the internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.is_reserved:
        # Outside the space in use: `face::add` is more likely code than an address, and eight
        # pairs of digits are a hardware address.
        groups = address.split(":")
        return "" not in groups and max(map(len, groups)) > 2
    return parsed.is_global and not parsed.is_multicast


def _numbers(
    least: int, spans: Callable[[str], Iterator[tuple[int, int]]]
) -> Callable[[str], Iterator[tuple[int, int]]]:
    """`spans`, asked only about texts with as many digits as it takes."""

    def guarded(text: str) -> Iterator[tuple[int, int]]:
        return spans(text) if may_hold(text, least) else iter(())

    return guarded


# Where two claim the same place, the first of them has it.
_FINDERS: tuple[tuple[Kind, Callable[[str], Iterator[tuple[int, int]]]], ...] = (
    ("secret", secrets),
    ("email", _emails),
    ("iban", _numbers(10, ibans)),
    ("credit_card", _numbers(12, cards)),
    ("ip", _ips),
    ("phone", _numbers(6, phones)),
)
