"""Reading what sites send, so that no page can hold up the others: at once what is small, all else apart.

libxml2 takes time with the square of a tag's attributes. What is large goes to a process with limits of
time and memory, and breaks nothing but itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, NamedTuple

from llm.corpus.reading.guard import Failed, Guards, Limits
from llm.corpus.web import sitemaps
from llm.corpus.web.links import Links, read_headers, read_links
from llm.corpus.web.urls import Address, resolve

PROGRAM = """
from llm.corpus.reading.guard import run_guard
from llm.corpus.web.parse import parse_apart
run_guard(parse_apart)
"""

# What is read at once. One tag of that size takes some 20 milliseconds at worst.
AT_ONCE_BYTES = 32 * 1024
LIMITS = Limits(seconds=5.0, memory_bytes=1 << 30)
# Enough that some slow pages of one host leave room for the others'.
_PROCESSES = 4


class Page(NamedTuple):
    """An HTML page whose links are wanted; see `read_links`."""

    body: bytes
    url: str
    headers: Mapping[str, Sequence[str]]
    agent: str


class File(NamedTuple):
    """A sitemap or a feed, found at `url`. charset: as declared by the server, None where it is not."""

    body: bytes
    url: str
    charset: str | None = None


class Listing(NamedTuple):
    """What a sitemap or a feed lists. problem: as of `sitemaps.Sitemap`."""

    pages: tuple[Address, ...] = ()
    sitemaps: tuple[str, ...] = ()
    problem: str = ""


def parse(item: Page | File) -> Links | Listing:
    """Read one page or file, in whatever process this is."""
    if isinstance(item, Page):
        return read_links(item.body, item.url, item.headers, item.agent)
    found = sitemaps.read(item.body, item.charset)
    pages = [resolve(page, item.url) for page in found.pages]
    named = [resolve(one, item.url) for one in found.sitemaps]
    return Listing(
        tuple(page for page in pages if page is not None),
        tuple(one.url for one in named if one is not None),
        found.problem,
    )


def parse_apart(item: Page | File) -> list[Any]:
    """As `parse`, as plain values: answers of processes that read what strangers wrote are JSON."""
    found = parse(item)
    return [True, asdict(found)] if isinstance(found, Links) else [False, found._asdict()]


def _understood(answer: Any) -> Links | Listing | Failed:
    """What `parse_apart` answered; Failed for what is no answer of it."""
    if isinstance(answer, Failed):
        return answer
    try:
        of_page, fields = answer
        for name in ("urls", "feeds", "pages"):
            if name in fields:
                fields[name] = tuple(Address(*each) for each in fields[name])
        if of_page:
            refresh = fields["refresh"]
            fields["refresh"] = None if refresh is None else Address(*refresh)
            return Links(**fields)
        fields["sitemaps"] = tuple(fields["sitemaps"])
        return Listing(**fields)
    except (KeyError, TypeError, ValueError):
        return Failed("crashed")


class Parser:
    """Reads pages and files for one crawl. Use as `with`."""

    def __init__(self) -> None:
        self.guards = Guards(PROGRAM, LIMITS, _PROCESSES)
        # Of its own: asyncio's threads look up host names.
        self.threads = ThreadPoolExecutor(_PROCESSES)

    def __enter__(self) -> "Parser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.guards.close()
        self.threads.shutdown(cancel_futures=True)

    async def links(
        self, body: bytes, url: str, headers: Mapping[str, Sequence[str]], agent: str
    ) -> Links:
        """The links of a page; see `read_links`. One that cannot be read has a `problem`."""
        found = await self._parse(Page(body, url, headers, agent))
        if isinstance(found, Failed):
            about = read_headers(headers, agent, url)
            return replace(about, problem=f"links_unread: {found.reason}")
        assert isinstance(found, Links)
        return found

    async def listing(self, body: bytes, url: str, charset: str | None = None) -> Listing:
        """What a sitemap or a feed lists. One that cannot be read has a `problem`."""
        found = await self._parse(File(body, url, charset))
        if isinstance(found, Failed):
            return Listing(problem=f"damaged: {found.reason}")
        assert isinstance(found, Listing)
        return found

    async def _parse(self, item: Page | File) -> Any:
        packed = item.body.startswith(b"\x1f\x8b")
        if len(item.body) <= AT_ONCE_BYTES and not packed:
            return parse(item)
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._apart, item)

    def _apart(self, item: Page | File) -> Links | Listing | Failed:
        return _understood(next(self.guards.map([item], batch=1)))
