"""What a page says of its licence, and what it asks of those who collect it.

Sources: rel=license (HTML standard, RFC 4946), Creative Commons' addresses, schema.org `license`;
robots meta elements and X-Robots-Tag, `noai` and `noimageai` (DeviantArt's convention), and the
TDM Reservation Protocol (W3C community group report, 2024).
"""

import html as html_entities
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from llm.corpus.reading import directives

# HTTP headers that speak of rights.
HEADERS = frozenset({"x-robots-tag", "tdm-reservation", "link"})
# Words of robots directives that restrict what may be done with a page.
_WORDS = "noindex nofollow none noarchive nocache nosnippet noai noimageai notrain noml"
WORDS = frozenset(_WORDS.split())
# Crawlers that collect for training: what shuts them out is an opt-out for us too.
_AI = (
    "gptbot ccbot google-extended anthropic-ai claudebot claude-web applebot-extended bytespider "
    "cohere-ai facebookbot meta-externalagent perplexitybot omgilibot diffbot ai2bot"
)
AI_CRAWLERS = frozenset(_AI.split())

# Bounded, so that a hostile page cannot make the search slow.
_TAG = re.compile(r"<(meta|link|a)\s([^<>]{1,2000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"(?<![\w:.-])([\w:.-]{1,40})\s{0,9}=\s{0,9}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
)
_WORTH_IT = ("licen", "creativecommons.org", "robots", "tdm-reservation", *sorted(AI_CRAWLERS))
_COMMONS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/[\w./+-]{1,80}",
    re.IGNORECASE,
)
_LD_LICENCE = re.compile(r"\"license\"\s*:\s*\"([^\"\s]+)\"")
_LINK_HEADER = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?[^\";,]*\blicense\b", re.IGNORECASE)
_META_LICENCES = ("license", "licence", "dc.rights.license", "dcterms.license", "dc.license")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class Rights(NamedTuple):
    """licence: an address or a name, "" where none is given; opt_out: words, sorted ("noai tdm")."""

    licence: str
    opt_out: str


def rights(html: str = "", headers: Mapping[str, str | Sequence[str]] | None = None) -> Rights:
    """What a page and its HTTP headers (names in any case) say of licence and opt-outs.

    headers: the lines of each in a sequence, or one text where they cannot be told apart.
    """
    named = {name.lower(): value for name, value in (headers or {}).items()}
    words = set(_robots_words(named.get("x-robots-tag", "")))
    if any(line.strip() == "1" for line in _lines(named.get("tdm-reservation", ""))):
        words.add("tdm")
    linked = _LINK_HEADER.search(", ".join(_lines(named.get("link", "")))[:4000])
    licence = linked[1] if linked else ""
    lowered = html.lower()
    if any(word in lowered for word in _WORTH_IT):
        said = _of_html(_COMMENT.sub("", html) if "-->" in html else html, words)
        licence = licence or said
    return Rights(licence.strip(), " ".join(sorted(words)))


def _of_html(html: str, words: set[str]) -> str:
    """The licence that a page names; what it asks of crawlers is added to `words`."""
    linked = named = ""
    for tag, attributes in _tags(html):
        if tag == "meta":
            name = (attributes.get("name") or attributes.get("property") or "").lower()
            content = attributes.get("content", "")
            if name == "robots":
                words.update(_robots_words(content))
            elif name in AI_CRAWLERS:
                words.update("noai" for word in directives.read(content) if word.name in WORDS)
            elif name == "tdm-reservation" and content.strip() == "1":
                words.add("tdm")
            elif name in _META_LICENCES:
                named = named or content
        elif "license" in attributes.get("rel", "").lower().split():
            linked = linked or attributes.get("href", "")
    if linked or named:
        return linked or named
    declared = _LD_LICENCE.search(html)
    if declared:
        return declared[1].replace("\\/", "/")
    commons = {found.rstrip("/.").lower(): found for found in _COMMONS.findall(html)}
    # Several belong to pictures and the like: none of them is known to be the page's.
    return next(iter(commons.values())) if len(commons) == 1 else ""


def _tags(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    for found in _TAG.finditer(html):
        tag = found[1].lower()
        if tag != "meta" and "license" not in found[2].lower():
            continue
        yield (
            tag,
            {
                name.lower(): html_entities.unescape(double or single or bare)
                for name, double, single, bare in _ATTRIBUTE.findall(found[2])
            },
        )


def _lines(said: str | Sequence[str]) -> Sequence[str]:
    return (said,) if isinstance(said, str) else said


def _robots_words(said: str | Sequence[str]) -> Iterator[str]:
    """The restricting words of directives for everybody; noai where a crawler for AI is shut out."""
    for found in directives.read(said):
        if found.name in WORDS and not found.agent:
            yield found.name
        elif found.name in WORDS and found.agent in AI_CRAWLERS:
            yield "noai"
