"""The links of a page, and what the page says about indexing it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lxml import etree

from llm.corpus.reading import charset, directives
from llm.corpus.reading.encode import escape_query
from llm.corpus.web.feeds import NAMED
from llm.corpus.web.headers import media_type
from llm.corpus.web.urls import Address, origin, resolve

LIBRARIES = ("lxml",)

MAX_LINKS = 20_000
"""Links of one page that are followed; a page with more of them is a trap or a dump."""

# Endings of addresses that hardly ever are pages with text.
_NO_PAGES = re.compile(
    r"\.(jpe?g|png|gif|svg|webp|ico|bmp|css|m?js|json|woff2?|ttf|eot|mp[34]|avi|mov|webm|ogg|wav|zip"
    r"|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg|deb|rpm|iso|whl|jar|apk|pdf|ps|docx?|xlsx?|pptx?|epub)$",
    re.IGNORECASE,
)


_NOINDEX, _NOFOLLOW = {"noindex", "none"}, {"nofollow", "none"}

# What a refresh says: seconds, and an address that may stand in quotes (HTML, 4.2.5.3).
_REFRESH = re.compile(
    r"\s*(?:\d+[\d.]*|\.[\d.]*)(?:\s*[;,]|\s)\s*(?:url\s*=\s*)?(?:\"([^\"]*)|'([^']*)|(.*))",
    re.IGNORECASE | re.DOTALL,
)

# Headers as they come: the lines of each, or one text where they cannot be told apart.
Headers = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Links:
    """What a page links to, in order, each once.

    noindex: the page asks not to be kept. until: when it begins to ask that (UTC), "" if ever.
    feeds: the RSS and Atom feeds that it names.
    refresh: the page that a browser goes on to by itself, of meta elements and headers.
    problem: why links are missing, in one word and after a colon the details.
    """

    urls: tuple[Address, ...]
    noindex: bool = False
    feeds: tuple[Address, ...] = ()
    problem: str = ""
    refresh: Address | None = None
    until: str = ""

    def asks_to_be_left_out(self, now: str) -> bool:
        """Whether the page is not to be kept at this time (UTC, 2050-06-25T15:00:00Z)."""
        return self.noindex or bool(self.until and self.until <= now)


def read_headers(headers: Headers, agent: str = "", url: str = "") -> Links:
    """What an answer's headers say, of whatever media type it is (X-Robots-Tag, Refresh)."""
    about, _ = _about(directives.read(headers.get("x-robots-tag", "")), agent)
    return replace(about, refresh=_refresh_header(headers, url))


def read_links(body: bytes, url: str, headers: Headers, agent: str = "") -> Links:
    """Read a page's links and robots directives (meta, X-Robots-Tag); nofollow ones are left out.

    headers: names in lower case; Content-Type counts for its charset. agent: the crawler's name without
    its version, for directives that name it. A link's path is in UTF-8, its query in the page's
    encoding (https://url.spec.whatwg.org/#query-state).
    """
    declared = media_type(_together(headers.get("content-type", ""))).charset
    page = charset.read(body, declared)
    # libxml2 here, for it finds the links twenty times as fast as resiliparse's tree. It is told
    # the encoding, for its own guess is Latin-1.
    try:
        parser = etree.HTMLParser(recover=True, no_network=True, encoding="utf-8")
        root = etree.fromstring(page.text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        return read_headers(headers, agent, url)
    # The first that has an address, and no other (HTML, 4.2.3).
    named_base = next((item.get("href") for item in root.iter("base") if "href" in item.attrib), "")
    resolved = resolve(named_base, url) if named_base else None
    base = url if resolved is None else resolved.url
    said = directives.read(headers.get("x-robots-tag", ""))
    refresh = _refresh_header(headers, url)
    for meta in root.iter("meta"):
        content = meta.get("content", "")
        if meta.get("name", "").strip().lower() in ("robots", agent.lower() or "robots"):
            said += directives.read(content)
        if meta.get("http-equiv", "").strip().lower() == "refresh":
            refresh = refresh or _refresh(content, base, url, page.encoding)
    about, follow = _about(said, agent)
    if not follow:
        return about
    feeds = [
        resolve(_in_encoding(item.get("href", ""), page.encoding), base)
        for item in root.iter("link")
        if "alternate" in item.get("rel", "").lower().split()
        and item.get("type", "").strip().lower() in NAMED
    ]
    found: dict[str, Address] = {}
    problem = ""
    for anchor in root.iter("a", "area"):
        target = anchor.get("href")
        if not target or "nofollow" in anchor.get("rel", "").lower().split():
            continue
        address = _resolve(_in_encoding(target, page.encoding), base)
        if address is None or _NO_PAGES.search(address.url):
            continue
        known = found.get(address.url)
        if known is None and len(found) == MAX_LINKS:
            problem = f"links_cut: only the first {MAX_LINKS} are followed"
            break
        # Of several spellings the plain one counts: it is the address that is asked for.
        if known is None or (known.written and not address.written):
            found[address.url] = address
    named = tuple(dict.fromkeys(feed for feed in feeds if feed is not None))
    return replace(about, urls=tuple(found.values()), feeds=named, problem=problem, refresh=refresh)


def _about(said: Sequence[directives.Directive], agent: str) -> tuple[Links, bool]:
    """What directives say of keeping the page, and whether its links may be followed."""
    mine = [one for one in said if one.agent in ("", agent.lower())]
    names = {one.name for one in mine}
    until = min(filter(None, map(directives.date_of, mine)), default="")
    return Links((), bool(names & _NOINDEX), until=until), not names & _NOFOLLOW


def _refresh_header(headers: Headers, url: str) -> Address | None:
    said = headers.get("refresh", "")
    first = said if isinstance(said, str) else next(iter(said), "")
    return _refresh(first, url, url)


def _together(said: str | Sequence[str]) -> str:
    return said if isinstance(said, str) else ", ".join(said)


def _refresh(content: str, base: str, url: str, encoding: str = "utf-8") -> Address | None:
    """The address of a refresh; None where it is the page itself, or none."""
    match = _REFRESH.match(content)
    target = next(filter(None, match.groups()), "").strip() if match else ""
    found = resolve(_in_encoding(target, encoding), base) if target else None
    return None if found is None or found.url == url else found


def _in_encoding(target: str, encoding: str) -> str:
    """A link with its query escaped as browsers do it on a page in this encoding."""
    if target.isascii() or "?" not in target:
        return target
    address, mark, fragment = target.partition("#")
    path, question, query = address.partition("?")
    return f"{path}{question}{escape_query(query, encoding)}{mark}{fragment}"


def _resolve(target: str, page: str) -> Address | None:
    """The address that a link leads to. Those of menus, the same on every page, are looked up."""
    if target.startswith("/") and not target.startswith("//"):
        return _lookup(target, f"{origin(page)}/")
    return resolve(target, page)


_lookup = lru_cache(maxsize=1 << 16)(resolve)
