"""The links of a page, and what the page says about indexing it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lxml import etree

from llm.corpus.reading import charset
from llm.corpus.reading.encode import escape_query
from llm.corpus.web.feeds import NAMED
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


_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)

# Directives that have a value behind a colon; any other name there is a crawler's.
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_NOINDEX, _NOFOLLOW = {"noindex", "none"}, {"nofollow", "none"}


@dataclass(frozen=True)
class Links:
    """What a page links to, in order, each once.

    noindex: the page asks not to be kept. feeds: the RSS and Atom feeds that it names.
    problem: why links are missing, in one word and after a colon the details.
    """

    urls: tuple[Address, ...]
    noindex: bool = False
    feeds: tuple[Address, ...] = ()
    problem: str = ""


def read_headers(headers: Mapping[str, str], agent: str = "") -> Links:
    """What an answer's headers say, of whatever media type it is (X-Robots-Tag)."""
    directives = set(_directives(headers.get("x-robots-tag", ""), agent))
    return Links((), bool(directives & _NOINDEX))


def read_links(body: bytes, url: str, headers: Mapping[str, str], agent: str = "") -> Links:
    """Read a page's links and robots directives (meta, X-Robots-Tag); nofollow ones are left out.

    headers: X-Robots-Tag, and Content-Type for its charset. agent: the crawler's name without its
    version, for directives that name it. A link's path is in UTF-8, its query in the page's encoding
    (https://url.spec.whatwg.org/#query-state).
    """
    declared = _CHARSET.search(headers.get("content-type", ""))
    page = charset.read(body, declared and declared[1])
    # libxml2 here, for it finds the links twenty times as fast as resiliparse's tree. It is told
    # the encoding, for its own guess is Latin-1.
    try:
        parser = etree.HTMLParser(recover=True, no_network=True, encoding="utf-8")
        root = etree.fromstring(page.text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        return read_headers(headers, agent)
    said = [headers.get("x-robots-tag", "")]
    said += [
        meta.get("content", "")
        for meta in root.iter("meta")
        if meta.get("name", "").strip().lower() in ("robots", agent.lower() or "robots")
    ]
    directives = {word for text in said for word in _directives(text, agent)}
    noindex = bool(directives & _NOINDEX)
    if directives & _NOFOLLOW:
        return Links((), noindex)
    bases = (resolve(item.get("href", ""), url) for item in root.iter("base"))
    base = next((found.url for found in bases if found is not None), url)
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
    return Links(tuple(found.values()), noindex, named, problem)


def _directives(text: str, agent: str) -> Iterator[str]:
    """The directives for everybody or for `agent`: `noindex, otherbot: nofollow` has one of them."""
    mine = True
    for part in text.lower().split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _WITH_VALUE:
            mine, part = name.strip() == agent.lower(), rest
        if mine:
            yield part.strip()


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
