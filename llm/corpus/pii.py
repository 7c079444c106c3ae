"""Personal data in text: e-mail addresses and public IP addresses, found and masked."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

KINDS = ("email", "ip")

# Looked for from the @ outwards: a pattern that starts with the name would be tried at each letter.
_DOMAIN = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![A-Za-z0-9_@])"
)
_LOCAL_PART = re.compile(r"(?<![\w.%+'-])[\w.%+'-]{1,64}$", re.ASCII)
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
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)(?!\.\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f]{0,4}(?![\w:])")

# What stands before dotted numbers that are no address: versions, pinned packages, sections.
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:versions?|releases?|ver|rev|python|chrome|firefox|safari|section|sections|chapter"
    r"|figure|table|appendix|paragraph|oid)\b[\s:=#./(\"']{0,3}|§\s?|[A-Za-z0-9\]](?:==|>=|<=|~=|!=|>|<)"
    r"|[A-Za-z](?:-|/))$",
    re.IGNORECASE,
)


class Finding(NamedTuple):
    """One piece of personal data: text[start:end] is of `kind` (email or ip)."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Finding]:
    """Every e-mail address and public IP address in the text, in order, none overlapping."""
    found = sorted([*_emails(text), *_ips(text)])
    apart: list[Finding] = []
    for one in found:
        if not apart or one.start >= apart[-1].end:
            apart.append(one)
    return apart


def mask(text: str, kinds: Sequence[str] = KINDS) -> tuple[str, Counter[str]]:
    """Replace findings of these kinds by `<email>` and `<ip>`. Returns the text and counts by kind."""
    counts: Counter[str] = Counter()
    pieces, last = [], 0
    for start, end, kind in find(text):
        if kind in kinds:
            pieces += [text[last:start], f"<{kind}>"]
            counts[kind] += 1
            last = end
    return "".join([*pieces, text[last:]]), counts


def _emails(text: str) -> Iterator[Finding]:
    for match in _DOMAIN.finditer(text):
        if match[1].rpartition(".")[2].lower() in _NOT_A_DOMAIN:
            continue
        before = text[max(0, match.start() - 65) : match.start()]
        local = _LOCAL_PART.search(before)
        if local is None:
            continue
        name = local[0].lstrip("'")
        if name and not name.endswith(".") and not name.startswith(".") and ".." not in name:
            yield Finding(match.start() - len(name), match.end(), "email")


def _ips(text: str) -> Iterator[Finding]:
    if _IPV4_SIGN.search(text):
        for match in _IPV4.finditer(text):
            if _public(match[0]) and not _VERSION_BEFORE.search(text[: match.start()][-24:]):
                yield Finding(match.start(), match.end(), "ip")
    if _IPV6_SIGN.search(text):
        for match in _IPV6.finditer(text):
            if _public(match[0]):
                yield Finding(match.start(), match.end(), "ip")


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
