"""RSS and Atom feeds: where a page names one, and what one lists."""

from llm.corpus.web import sitemaps

TYPES = (
    "application/rss+xml",
    "application/atom+xml",
    "application/rdf+xml",
    "application/feed+xml",
    "application/xml",
    "text/xml",
)
"""Media types that an answer with a feed may have."""

NAMED = TYPES[:2]
"""Media types by which a page names a feed (`<link rel=alternate type=...>`)."""


def addresses(body: bytes) -> tuple[str, ...]:
    """What a feed (or a sitemap that a seed names) lists, as written and in order. Never raises."""
    found = sitemaps.read(body)
    return (*found.pages, *found.sitemaps)
