"""The links of a page, and what the page says about indexing it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lxml import etree

from llm.corpus.web.feeds import NAMED
from llm.corpus.web.urls import normalise, origin

LIBRARIES = ("lxml",)

# Endings of addresses that hardly ever are pages with text.
_NO_PAGES = re.compile(
    r"\.(jpe?g|png|gif|svg|webp|ico|bmp|css|m?js|json|woff2?|ttf|eot|mp[34]|avi|mov|webm|ogg|wav|zip"
    r"|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg|deb|rpm|iso|whl|jar|apk|pdf|ps|docx?|xlsx?|pptx?|epub)$",
    re.IGNORECASE,
)


# Directives that have a value behind a colon; any other name there is a crawler's.
_WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}


@dataclass(frozen=True)
class Links:
    """What a page links to, normalised, in order, each once.

    noindex: the page asks not to be kept. feeds: the RSS and Atom feeds that it names.
    """

    urls: tuple[str, ...]
    noindex: bool = False
    feeds: tuple[str, ...] = ()


def read_links(body: bytes, url: str, headers: Mapping[str, str], agent: str = "") -> Links:
    """Read a page's links and robots directives (meta, X-Robots-Tag); nofollow ones are left out.

    agent: the crawler's name without its version, for directives that name it.
    """
    # libxml2 here, for it finds the links twenty times as fast as resiliparse's tree.
    try:
        root = etree.fromstring(body, etree.HTMLParser(recover=True, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        return Links(())
    if root is None:
        return Links(())
    said = [headers.get("x-robots-tag", "")]
    said += [
        meta.get("content", "")
        for meta in root.iter("meta")
        if meta.get("name", "").strip().lower() in ("robots", agent.lower() or "robots")
    ]
    directives = {word for text in said for word in _directives(text, agent)}
    noindex = bool(directives & {"noindex", "none"})
    if directives & {"nofollow", "none"}:
        return Links((), noindex)
    base = next((normalise(item.get("href", ""), url) for item in root.iter("base")), None)
    feeds = [
        normalise(item.get("href", ""), base or url)
        for item in root.iter("link")
        if "alternate" in item.get("rel", "").lower().split()
        and item.get("type", "").strip().lower() in NAMED
    ]
    found: dict[str, None] = {}
    for anchor in root.iter("a", "area"):
        target = anchor.get("href")
        if not target or "nofollow" in anchor.get("rel", "").lower().split():
            continue
        address = _resolve(target, base or url)
        if address is not None and not _NO_PAGES.search(address):
            found[address] = None
    return Links(tuple(found), noindex, tuple(dict.fromkeys(filter(None, feeds))))


def _directives(text: str, agent: str) -> Iterator[str]:
    """The directives for everybody or for `agent`: `noindex, otherbot: nofollow` has one of them."""
    mine = True
    for part in text.lower().split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _WITH_VALUE:
            mine, part = name.strip() == agent.lower(), rest
        if mine:
            yield part.strip()


def _resolve(target: str, page: str) -> str | None:
    """The address that a link leads to. Those of menus, the same on every page, are looked up."""
    if target.startswith("/") and not target.startswith("//"):
        return _lookup(target, f"{origin(page)}/")
    return normalise(target, page)


_lookup = lru_cache(maxsize=1 << 16)(normalise)
