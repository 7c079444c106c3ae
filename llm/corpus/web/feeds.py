"""RSS and Atom feeds: how a page names one, and an answer that is one."""

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
