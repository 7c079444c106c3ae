"""The crawl of web sites: which page next, from which host, and what becomes of the answer."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from llm.corpus import robots, sitemaps
from llm.corpus.fetch import Answer, Fetcher, FetchFailed, Limits, Pace
from llm.corpus.frontier import Frontier, Waiting
from llm.corpus.links import Links, read_links
from llm.corpus.pages import Page
from llm.corpus.urls import host, matches, normalise, origin
from llm.settings import section, setting
from llm.step import Reporter

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = (*HTML_TYPES, "text/plain", "text/markdown", "text/x-rst")

MAX_REDIRECTS = 10
MAX_SITEMAPS = 1000
# After so many addresses in a row without any answer, a host is left alone.
MAX_SILENT = 5
# An address that repeats a part of its path so often leads round in circles.
MAX_REPEATS = 4


@section
class WebSource:
    """Web sites to crawl."""

    type: Literal["web"] = setting(default="web", description="Kind of source: web.")
    seeds: tuple[str, ...] = setting(
        description="Addresses to start from; `builtin:python-docs` is the documentation of the "
        "Python installation, `builtin:python-docs+packages` that of the packages too.",
        min_length=1,
    )
    hosts: tuple[str, ...] = setting(
        default=(),
        description="Host names to stay on (with the port unless it is the default; with or without www.); "
        "none: the seeds'.",
    )
    include: tuple[str, ...] = setting(
        default=(),
        description="Patterns of addresses to fetch, `*` for anything (the seeds always are); none: all.",
    )
    exclude: tuple[str, ...] = setting(
        default=(), description="Patterns of addresses never to fetch, `*` for anything."
    )
    max_pages: int = setting(
        default=10_000, description="Pages to keep at most, nearest to the seeds first.", ge=1
    )
    max_depth: int | None = setting(
        default=None,
        description="Links to follow away from a seed at most (count); none: no limit.",
        ge=0,
    )
    follow_links: bool = setting(default=True, description="Whether to follow the links on pages.")
    sitemaps: bool = setting(
        default=True, description="Whether to fetch what the sites' sitemaps list."
    )
    user_agent: str = setting(
        default="Penstock/0.1",
        description="How the crawler names itself, to servers and in robots.txt.",
        min_length=1,
    )
    delay_seconds: float = setting(
        default=0.5,
        description="Pause between two requests to a host (seconds); robots.txt can make it longer.",
        ge=0,
    )
    max_crawl_delay_seconds: float = setting(
        default=60.0,
        description="A host whose robots.txt asks for a longer pause is left out (seconds).",
        gt=0,
    )
    concurrency: int = setting(
        default=16, description="Requests under way at once, all hosts together (count).", ge=1
    )
    host_concurrency: int = setting(
        default=2,
        description="Requests under way at once to a host (count); 1 where it asks for a pause.",
        ge=1,
    )
    timeout_seconds: float = setting(
        default=30.0, description="Time for a whole answer (seconds).", gt=0
    )
    max_page_bytes: int = setting(
        default=10_000_000,
        description="Larger pages are left out (bytes, after decompression).",
        gt=0,
    )
    retries: int = setting(
        default=3,
        description="How often to try again after no answer, 429 or 5xx (count).",
        ge=0,
        le=20,
    )
    backoff_seconds: float = setting(
        default=1.0,
        description="First pause before trying again (seconds); doubles each time.",
        ge=0,
    )
    max_wait_seconds: float = setting(
        default=120.0,
        description="A page whose server asks for a longer wait (Retry-After) is given up (seconds).",
        gt=0,
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of pages, uncompressed).",
        gt=0,
    )

    def limits(self) -> Limits:
        """What a fetcher needs of it."""
        return Limits(
            timeout_seconds=self.timeout_seconds,
            max_bytes=self.max_page_bytes,
            retries=self.retries,
            backoff_seconds=self.backoff_seconds,
            max_wait_seconds=self.max_wait_seconds,
            connections=self.concurrency,
        )


@dataclass
class Site:
    """One origin during a crawl: its rules, its pace and what waits for it."""

    origin: str
    pace: Pace
    rules: robots.Rules | None = None
    problem: FetchFailed | None = None
    silent: int = 0
    running: int = 0
    limit: int = 1
    queue: deque[Waiting] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Crawler:
    """One crawl: `await run()` fetches until nothing waits or enough pages are kept."""

    def __init__(
        self, values: WebSource, frontier: Frontier, fetcher: Fetcher, report: Reporter
    ) -> None:
        self.values = values
        self.frontier = frontier
        self.fetcher = fetcher
        self.report = report
        self.seeds = [seed for seed in map(normalise, values.seeds) if seed is not None]
        # www.example.org and example.org are one site, which redirects from one to the other.
        self.hosts = {*map(_bare, values.hosts or map(host, self.seeds))}
        self.sites: dict[str, Site] = {}
        self.kept = frontier.totals()[0]

    async def run(self) -> None:
        """Fetch level by level. Raises only what the disk or the program is at fault for."""
        self.frontier.start(self.seeds)
        if self.values.sitemaps:
            await self._read_sitemaps()
        while self.kept < self.values.max_pages:
            level = self.frontier.next_level()
            if level is None:
                return
            await self._crawl_level(level)

    async def _crawl_level(self, level: int) -> None:
        """Fetch a level in its order, as far as pages are wanted.

        Only as many addresses are let in as pages are missing, one more for each that gives none.
        So, whatever order the answers come in, the pages kept are the first ones of the level.
        """
        rest = deque(self.frontier.waiting(level))
        total = min(self.values.max_pages, self.kept + len(rest))

        def admit(group: asyncio.TaskGroup) -> None:
            if not rest:
                return
            waiting = rest.popleft()
            site = self._site(origin(waiting.url))
            site.queue.append(waiting)
            if site.running < site.limit:
                site.running += 1
                group.create_task(serve(site, group))

        async def serve(site: Site, group: asyncio.TaskGroup) -> None:
            while site.queue and site.running <= site.limit:
                if await self._visit(site.queue.popleft(), site):
                    self.kept += 1
                else:
                    admit(group)
                self.report.progress(self.kept, total, "pages")
            site.running -= 1

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.values.max_pages - self.kept, len(rest))):
                    admit(group)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _visit(self, waiting: Waiting, site: Site) -> bool:
        """Fetch one address and note what came of it. True: a page is kept."""
        rules = await self._rules(site)
        try:
            if site.problem is not None:
                raise site.problem
            if rules is not None and not rules.allowed(waiting.url):
                raise FetchFailed("robots_disallowed", unreachable=False)
            answer = await self.fetcher.get(waiting.url, site.pace, self._is_wanted)
            site.silent = 0
            return self._take(waiting, answer)
        except FetchFailed as failure:
            self.frontier.give_up(waiting, failure.reason, unreachable=failure.unreachable)
            if failure.unreachable and site.problem is None:
                site.silent += 1
                if site.silent >= MAX_SILENT:
                    site.problem = FetchFailed(f"host_unreachable: {failure.reason}", True)
                    self.report.warning(f"{site.origin} is left alone: {failure.reason}")
            return False

    def _take(self, waiting: Waiting, answer: Answer) -> bool:
        """Keep a page, follow a redirect, or raise FetchFailed."""
        if answer.status in (301, 302, 303, 307, 308):
            self._redirect(waiting, answer)
            return False
        if answer.status != 200:
            raise FetchFailed(f"http_{answer.status}", unreachable=False)
        if not self._is_wanted(answer):
            raise FetchFailed(f"content_type: {answer.media_type}", unreachable=False)
        links = Links(())
        if answer.media_type in ("", *HTML_TYPES):
            links = read_links(answer.body, waiting.url, answer.headers)
        depth = waiting.depth + 1
        follow = self.values.follow_links and not self._too_deep(depth)
        targets = [url for url in links.urls if self._accepts(url)] if follow else []
        if links.noindex:
            self.frontier.give_up(waiting, "noindex", targets)
            return False
        page = Page(
            url=waiting.url,
            payload=answer.body,
            status=answer.status,
            content_type=answer.headers.get("content-type", ""),
            headers=answer.headers,
            fetched_at=answer.fetched_at,
            depth=waiting.depth,
        )
        self.frontier.keep(waiting, page, targets)
        return True

    def _redirect(self, waiting: Waiting, answer: Answer) -> None:
        target = normalise(answer.headers.get("location", ""), waiting.url)
        if target is None or target == waiting.url or waiting.hops >= MAX_REDIRECTS:
            raise FetchFailed("redirect: leads nowhere", unreachable=False)
        if not self._accepts(target):
            raise FetchFailed(f"redirect_elsewhere: {target}", unreachable=False)
        self.frontier.move(waiting, target)

    def _is_wanted(self, answer: Answer) -> bool:
        return answer.status == 200 and answer.media_type in ("", *TEXT_TYPES)

    def _too_deep(self, depth: int) -> bool:
        return self.values.max_depth is not None and depth > self.values.max_depth

    def _accepts(self, url: str) -> bool:
        """Whether the recipe lets the crawl go there."""
        if _bare(host(url)) not in self.hosts or matches(url, self.values.exclude):
            return False
        parts = [part for part in url.split("?")[0].split("/")[3:] if part]
        if any(parts.count(part) >= MAX_REPEATS for part in set(parts)):
            return False
        return not self.values.include or matches(url, self.values.include)

    def _site(self, name: str) -> Site:
        if name not in self.sites:
            pace = Pace(self.values.delay_seconds)
            self.sites[name] = Site(name, pace, limit=self.values.host_concurrency)
        return self.sites[name]

    async def _rules(self, site: Site) -> robots.Rules | None:
        """The site's robots.txt, fetched once. None, with `site.problem`, when it cannot be had."""
        async with site.lock:
            if site.rules is None and site.problem is None:
                try:
                    status, body = await self._robots(site)
                except FetchFailed as failure:
                    reason = failure.reason
                    if failure.unreachable:
                        reason = f"robots_unreachable: {reason}"
                    site.problem = FetchFailed(reason, failure.unreachable)
                    return None
                site.rules = robots.from_response(status, body, self.values.user_agent)
                self._slow_down(site, site.rules.delay_seconds)
        return site.rules

    def _slow_down(self, site: Site, asked: float | None) -> None:
        if asked is None:
            return
        if asked > self.values.max_crawl_delay_seconds:
            reason = f"crawl_delay: robots.txt asks for {asked:g} s between pages"
            site.problem = FetchFailed(reason, unreachable=False)
        site.pace.delay_seconds = max(self.values.delay_seconds, asked)
        site.limit = 1 if asked > 0 else site.limit

    async def _robots(self, site: Site) -> tuple[int, bytes]:
        """(status, body) of robots.txt, redirects followed. Raises FetchFailed."""
        known = self.frontier.robots(site.origin)
        if known is None:
            answer = await self._follow(f"{site.origin}/robots.txt", site, robots.MAX_BYTES * 4)
            known = (answer.status, answer.body[: robots.MAX_BYTES])
            self.frontier.set_robots(site.origin, *known)
        return known

    async def _follow(self, url: str, site: Site, max_bytes: int) -> Answer:
        """Fetch a file that is no page, up to five redirects on."""
        for _ in range(6):
            answer = await self.fetcher.get(
                url, site.pace, lambda head: head.status == 200, max_bytes
            )
            target = normalise(answer.headers.get("location", ""), url)
            if not 300 <= answer.status < 400 or target is None:
                return answer
            url = target
        raise FetchFailed("redirect: leads nowhere", unreachable=False)

    async def _read_sitemaps(self) -> None:
        """Take in the sitemaps of the seeds' sites, in order, so that the pages' order is fixed."""
        for name in dict.fromkeys(origin(seed) for seed in self.seeds):
            site = self._site(name)
            rules = await self._rules(site)
            if rules is None or site.problem is not None:
                continue
            waiting = deque(rules.sitemaps or [f"{name}/sitemap.xml"])
            seen: set[str] = set()
            while waiting and len(seen) < MAX_SITEMAPS:
                url = normalise(waiting.popleft(), name)
                if url is not None and url not in seen:
                    seen.add(url)
                    waiting.extend(await self._read_sitemap(url, site, rules))

    async def _read_sitemap(self, url: str, site: Site, rules: robots.Rules) -> list[str]:
        """Fetch one sitemap unless that is done; returns the further ones that it names."""
        known = self.frontier.sitemap(url)
        if known is not None:
            return known
        if origin(url) == site.origin and not rules.allowed(url):
            return []
        try:
            answer = await self._follow(url, site, sitemaps.MAX_BYTES)
        except FetchFailed as failure:
            self.report.warning(f"the sitemap {url} is left out: {failure.reason}")
            return []
        listed = sitemaps.read(answer.body if answer.status == 200 else b"")
        pages = [page for page in map(normalise, listed.pages) if page and self._accepts(page)]
        self.frontier.set_sitemap(url, [] if self._too_deep(1) else pages, listed.sitemaps)
        return list(listed.sitemaps)


def _bare(name: str) -> str:
    return name.lower().removeprefix("www.")
