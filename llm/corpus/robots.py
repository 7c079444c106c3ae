"""robots.txt (RFC 9309): what a site allows, how slowly, and where its sitemaps are.

Which lines are meant for a crawler is decided here, as the standard says; Protego then matches their
patterns. Beyond the standard, misspelled and colonless lines are understood, as most crawlers do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from protego import Protego

LIBRARIES = ("protego",)

MAX_BYTES = 512 * 1024
"""How much of a robots.txt is read (RFC 9309 asks for at least 500 KiB)."""

MAX_AGE_SECONDS = 24 * 3600
"""How long a robots.txt is gone by before it is fetched again (RFC 9309, 2.4)."""

MAX_REDIRECTS = 5
"""How many redirects to a robots.txt are followed (RFC 9309, 2.3.1.2, asks for at least five)."""

_AGENT = re.compile(r"user[- ]?agent(?:\s*:\s*|\s+|$)(.*)", re.IGNORECASE)
_RULE = re.compile(r"(?:(allow)|diss?all?ow|diasllow|disallaw)(?:\s*:\s*|\s+|$)(.*)", re.IGNORECASE)
_PACE = re.compile(r"(?:crawl[- ]delay|request[- ]rate)(?:\s*:\s*|\s+)\S", re.IGNORECASE)
_SITEMAP = re.compile(r"site-?maps?(?:\s*:\s*|\s+)(\S.*)", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)
_FIRST_PRODUCT = re.compile(r"([^/(;]+)")
_COMPATIBLE = re.compile(r"compatible;\s*([^/;()+]*[^/;()+\s])")
# What Python takes for the end of a line and the standard does not.
_NO_LINE_ENDS = {ord(c): f"%{c.encode().hex('%')}" for c in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"}


@dataclass
class _Group:
    """The lines that are meant for some crawlers."""

    agents: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """The parsed robots.txt of one site for one crawler."""

    parsed: Protego
    sitemaps: tuple[str, ...] = ()

    def allowed(self, url: str) -> bool:
        """Whether the crawler may fetch `url`."""
        return bool(self.parsed.can_fetch(_query_slashes(url), "*"))

    @property
    def delay_seconds(self) -> float | None:
        """The longest pause the site asks for: Crawl-delay, or what Request-rate comes to."""
        delays = [self.parsed.crawl_delay("*")]
        rate = self.parsed.request_rate("*")
        if rate is not None and rate.requests:
            delays.append(rate.seconds / rate.requests)
        return max((float(delay) for delay in delays if delay is not None), default=None)


def read(robots_txt: str, user_agent: str) -> Rules:
    """Parse a robots.txt; whatever is not a rule in it (an error page, say) is passed over."""
    rules, paces, sitemaps = _groups(robots_txt)
    mine = ["User-agent: *", *_meant_for(user_agent, rules), *_meant_for(user_agent, paces)]
    return Rules(Protego.parse("\n".join(mine)), sitemaps)


def from_response(status: int, body: bytes, user_agent: str) -> Rules:
    """The rules that an answer stands for: 2xx what it says, 3xx and 4xx all allowed.

    Where there is no answer, or 5xx or 429, there are no rules to be had and this is not to be
    asked: fetch nothing (RFC 9309, 2.3.1).
    """
    text = body[:MAX_BYTES].decode("utf-8-sig", "replace") if 200 <= status < 300 else ""
    return read(text, user_agent)


def allowed(robots_txt: str, user_agent: str, url: str) -> bool:
    """Whether `robots_txt` lets `user_agent` fetch `url`."""
    return read(robots_txt, user_agent).allowed(url)


def _lines(text: str) -> Iterator[str]:
    """The lines without comments, byte order mark and outer blanks."""
    for line in _LINE_END.split(text.removeprefix("\ufeff").replace("\x00", "")):
        said = line.partition("#")[0].strip()
        if said:
            yield said.translate(_NO_LINE_ENDS)


def _groups(text: str) -> tuple[list[_Group], list[_Group], tuple[str, ...]]:
    """The groups of rules, those of pauses, and the sitemaps.

    Only a rule ends the list of a group's crawlers: `Crawl-delay`, `Sitemap` and whatever else may
    stand between them (RFC 9309, 2.2.4). A pause, of which the standard says nothing, is for the
    crawlers named just before it, for so sites use it.
    """
    rules, paces, sitemaps = [_Group()], [_Group()], list[str]()
    listing = False
    for line in _lines(text):
        if match := _SITEMAP.match(line):
            sitemaps.append(match[1].strip())
        elif match := _AGENT.match(line):
            if rules[-1].lines:
                rules.append(_Group())
            if not listing:
                paces.append(_Group())
            for group in (rules[-1], paces[-1]):
                group.agents.append(match[1].strip().lower())
            listing = True
        else:
            listing = False
            if match := _RULE.match(line):
                rules[-1].lines.append(_rule(match[1] is not None, match[2].strip()))
            elif _PACE.match(line):
                paces[-1].lines.append(line)
    return rules, paces, tuple(dict.fromkeys(sitemaps))


def _rule(allow: bool, pattern: str) -> str:
    """One rule as Protego is to read it; without a pattern it is none, but ends a list of crawlers."""
    if not pattern:
        return ""
    pattern = _query_slashes(pattern)
    if not allow:
        return f"Disallow: {pattern}"
    # Protego takes `Allow: /index.html` for `Allow: /$` too; the standard does not.
    return f"Allow: {pattern}{'*' if pattern.endswith('/index.html') else ''}"


def _query_slashes(text: str) -> str:
    """An address or a pattern with the slashes of its query in one spelling (RFC 9309, 2.2.2)."""
    path, mark, query = text.partition("?")
    return path + mark + _ESCAPED_SLASH.sub("/", query)


def product_tokens(user_agent: str) -> tuple[str, ...]:
    """The names that a crawler goes by, in lower case: `penstock` of `Penstock/0.1 (+https://x/bot)`.

    The first product, and within a browser's disguise the `compatible` ones, which come last; never
    a comment's words.
    """
    text = user_agent.strip().lower()
    first = _FIRST_PRODUCT.match(text)
    named = [first[1].strip(), *first[1].split()[:1]] if first else []
    return tuple(dict.fromkeys((*named, *_COMPATIBLE.findall(text))))


def _meant_for(user_agent: str, groups: list[_Group]) -> list[str]:
    """The lines of all groups that name the crawler best, in order; else those for everybody."""
    names = product_tokens(user_agent)
    best, found = 0, list[str]()
    for group in groups:
        score = max((_score(names, name) for name in group.agents), default=0)
        if score > best:
            best, found = score, []
        if score and score == best:
            found += group.lines
    return found


def _score(names: tuple[str, ...], name: str) -> int:
    """How well a `User-agent` line names the crawler: the length of the name, 1 for `*`, 0: not.

    The name must be one of the crawler's (RFC 9309, 2.2.1): `bot` does not name `mybot` or `bots`.
    """
    if name == "*":
        return 1
    name = name.replace("*", "").strip()
    product, _, version = name.partition("/")
    if version and not re.search(r"\s", name):
        name = product
    return 1 + len(name) if name in names else 0
