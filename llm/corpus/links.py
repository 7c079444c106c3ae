"""The links of a page, and what the page says about indexing it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from resiliparse.parse.html import HTMLTree

from llm.corpus.urls import normalise

LIBRARIES = ("resiliparse",)

# Endings of addresses that hardly ever are pages with text.
_NO_PAGES = re.compile(
    r"\.(jpe?g|png|gif|svg|webp|ico|bmp|css|m?js|json|woff2?|ttf|eot|mp[34]|avi|mov|webm|ogg|wav|zip"
    r"|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg|deb|rpm|iso|whl|jar|apk|pdf|ps|docx?|xlsx?|pptx?|epub)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Links:
    """What a page links to, normalised, in order, each once; `noindex`: do not keep the page."""

    urls: tuple[str, ...]
    noindex: bool = False


def read_links(body: bytes, url: str, headers: Mapping[str, str]) -> Links:
    """Read a page's links and robots directives (meta, X-Robots-Tag); nofollow ones are left out."""
    document = HTMLTree.parse_from_bytes(body).document
    if document is None:
        return Links(())
    said = [headers.get("x-robots-tag", "")]
    for meta in document.get_elements_by_tag_name("meta"):
        if (meta.getattr("name") or "").lower() == "robots":
            said.append(meta.getattr("content") or "")
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    noindex = bool(directives & {"noindex", "none"})
    if directives & {"nofollow", "none"}:
        return Links((), noindex)
    bases = document.get_elements_by_tag_name("base")
    base = normalise(bases[0].getattr("href") or "", url) if bases else None
    found: dict[str, None] = {}
    for anchor in document.get_elements_by_tag_name("a"):
        target = anchor.getattr("href")
        if not target or "nofollow" in (anchor.getattr("rel") or "").lower().split():
            continue
        address = normalise(target, base or url)
        if address is not None and not _NO_PAGES.search(address):
            found[address] = None
    return Links(tuple(found), noindex)
