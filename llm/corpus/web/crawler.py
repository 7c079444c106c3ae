"""The crawl of web sites: which page next, from which host, and what becomes of the answer."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from llm.corpus import robots
from llm.corpus.archive.pages import Page
from llm.corpus.archive.warc import terms
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.web import feeds, sitemaps
from llm.corpus.web.budgets import Queue
from llm.corpus.web.fetch import Answer, Fetcher, FetchFailed
from llm.corpus.web.frontier import Frontier, Waiting
from llm.corpus.web.links import Links, read_links
from llm.corpus.web.pace import Pace
from llm.corpus.web.recrawl import Known, NightBefore, found_on
from llm.corpus.web.traps import is_endless
from llm.corpus.web.urls import bare, host, matches, normalise, origin
from llm.corpus.web.websource import WebSource
from llm.step import Reporter

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = (*HTML_TYPES, "text/plain", "text/markdown", "text/x-rst")

MAX_REDIRECTS = 10
MAX_SITEMAPS = 1000
# After so many addresses in a row without any answer, a host is left alone.
MAX_SILENT = 5
_NOWHERE = "redirect: leads nowhere"


@dataclass
class Site:
    """One origin during a crawl: its rules, its pace and what waits for it.

    rules_from: when the rules were fetched (seconds since 1970).
    """

    origin: str
    pace: Pace
    rules: robots.Rules | None = None
    rules_from: float = 0.0
    problem: FetchFailed | None = None
    silent: int = 0
    running: int = 0
    limit: int = 1
    queue: deque[Waiting] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Crawler:
    """One crawl: `await run()` fetches until nothing waits or enough pages are kept."""

    def __init__(
        self,
        values: WebSource,
        frontier: Frontier,
        fetcher: Fetcher,
        before: NightBefore,
        report: Reporter,
        takedown: Exclusions,
    ) -> None:
        self.values = values
        self.frontier = frontier
        self.fetcher = fetcher
        self.before = before
        self.report = report
        self.takedown = takedown
        self.seeds = [seed for seed in map(normalise, values.seeds) if seed is not None]
        # www.example.org and example.org are one site, which redirects from one to the other.
        self.hosts = {*map(bare, values.hosts or map(host, self.seeds))}
        self.agent = values.user_agent.partition("/")[0].strip()
        self.sites: dict[str, Site] = {}
        self.paces: dict[str, Pace] = {}
        self.kept = frontier.totals()[0]
        self.kept_of = frontier.pages_by_host()

    async def run(self) -> None:
        """Fetch level by level. Raises only what the disk or the program is at fault for."""
        self.frontier.start(self.seeds)
        if self.values.sitemaps:
            await self._read_sitemaps()
        while self.kept < self.values.max_pages:
            level = self.frontier.next_level(self.values.max_per_pattern)
            if level is not None:
                await self._crawl_level(level)
            elif not self._recall():
                return

    def _recall(self) -> bool:
        """Ask for what the night before had and nothing leads to any more. False: there is nothing."""
        rest = self.before.not_seen()
        return self.frontier.recall((url, depth) for url, depth in rest if self._accepts(url))

    async def _crawl_level(self, level: int) -> None:
        """Fetch a level in its order, as far as pages are wanted.

        Only as many addresses are let in as pages are missing, one more for each that gives none.
        So, whatever order the answers come in, the pages kept are the first ones of the level.
        """
        waiting = self.frontier.waiting(level)
        total = min(self.values.max_pages, self.kept + len(waiting))
        queue = Queue(waiting, self.kept_of, self._max_pages_of)

        def admit(found: Waiting, group: asyncio.TaskGroup) -> None:
            site = self._site(origin(found.url))
            site.queue.append(found)
            if site.running < site.limit:
                site.running += 1
                group.create_task(serve(site, group))

        async def serve(site: Site, group: asyncio.TaskGroup) -> None:
            while site.queue and site.running <= site.limit:
                found = site.queue.popleft()
                if await self._visit(found, site):
                    self.kept += 1
                    self.kept_of[host(found.url)] += 1
                else:
                    other = queue.instead_of(found)
                    if other is not None:
                        admit(other, group)
                self.report.progress(self.kept, total, "pages")
            site.running -= 1

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.values.max_pages - self.kept):
                    first = queue.next()
                    if first is None:
                        break
                    admit(first, group)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        if self.kept < self.values.max_pages:
            self.frontier.leave(queue.left())

    async def _visit(self, waiting: Waiting, site: Site) -> bool:
        """Fetch one address and note what came of it. True: a page is kept."""
        rules = await self._rules(site)
        try:
            if self.takedown and self.takedown.covers(waiting.url):
                raise FetchFailed("taken_down", unreachable=False)
            if site.problem is not None:
                raise site.problem
            if rules is not None and not rules.allowed(waiting.url):
                raise FetchFailed("robots_disallowed", unreachable=False)
            known = self.before.page(waiting.url)
            answer = await self._ask(waiting.url, site, known)
            site.silent = 0
            if answer.status == 304 and known is not None:
                return self._keep_unchanged(waiting, answer, known)
            return self._take(waiting, answer, known)
        except FetchFailed as failure:
            self.frontier.give_up(waiting, failure.reason, unreachable=failure.unreachable)
            if failure.unreachable and site.problem is None:
                site.silent += 1
                if site.silent >= MAX_SILENT:
                    site.problem = FetchFailed(f"host_unreachable: {failure.reason}", True)
                    self.report.warning(f"{site.origin} is left alone: {failure.reason}")
            return False

    async def _ask(self, url: str, site: Site, known: Known | None) -> Answer:
        """Fetch a page; one that is known, on the condition that it changed."""
        if known is not None and self.values.recrawl == "conditional":
            answer = await self.fetcher.get(
                url, site.pace, self._is_wanted, headers=known.conditions
            )
            said = "\n".join(terms(answer.headers))
            if answer.status != 304 or said in ("", known.terms):
                return answer
        # Not known, or the same text on new terms, which then belong to the page.
        return await self.fetcher.get(url, site.pace, self._is_wanted)

    def _take(self, waiting: Waiting, answer: Answer, known: Known | None) -> bool:
        """Keep a page, follow a redirect, or raise FetchFailed."""
        self.frontier.add_number("downloaded_bytes", len(answer.body))
        if answer.status in (301, 302, 303, 307, 308):
            self._redirect(waiting, answer)
            return False
        if answer.status != 200:
            raise FetchFailed(f"http_{answer.status}", unreachable=False)
        if self._is_feed(answer):
            return self._read_feed(waiting, answer)
        if not self._is_text(answer):
            raise FetchFailed(f"content_type: {answer.media_type}", unreachable=False)
        links = Links(())
        if answer.media_type in ("", *HTML_TYPES):
            links = read_links(answer.body, waiting.url, answer.headers, self.agent)
        if links.noindex and self.values.noindex == "leave_out":
            self.frontier.give_up(waiting, "noindex", self._targets(waiting, links))
            return False
        page = Page(
            url=waiting.url,
            payload=answer.body,
            status=answer.status,
            content_type=answer.headers.get("content-type", ""),
            headers=answer.headers,
            fetched_at=answer.fetched_at,
            depth=waiting.depth,
            state="new" if known is None else "changed",
            request=answer.request,
        )
        found = found_on(page, links)
        if known is not None and known.is_same(page):
            page = known.revisit(page)
        self.frontier.keep(waiting, page, self._targets(waiting, links), found)
        return True

    def _keep_unchanged(self, waiting: Waiting, answer: Answer, known: Known) -> bool:
        """Keep a page that the server says is what it was; its links are the known ones."""
        targets = self._targets(waiting, known.links)
        if known.links.noindex and self.values.noindex == "leave_out":
            self.frontier.give_up(waiting, "noindex", targets)
            return False
        page = Page(
            url=waiting.url,
            payload=b"",
            status=answer.status,
            content_type=known.content_type,
            headers=answer.headers,
            fetched_at=answer.fetched_at,
            depth=waiting.depth,
            request=answer.request,
        )
        self.frontier.add_number("not_downloaded")
        self.frontier.add_number("saved_bytes", known.earlier.size)
        self.frontier.keep(waiting, known.revisit(page), targets, known.packed)
        return True

    def _targets(self, waiting: Waiting, links: Links) -> list[str]:
        """The links of a page that the crawl is to follow."""
        follow = self.values.follow_links
        # The seeds' feeds only: many sites have one for the comments on each page.
        named = links.feeds if self.values.feeds and waiting.depth == 0 else ()
        wanted = dict.fromkeys((*(links.urls if follow else ()), *named))
        depth = waiting.depth + 1
        return [url for url in wanted if not self._too_deep(depth, url) and self._accepts(url)]

    def _read_feed(self, waiting: Waiting, answer: Answer) -> bool:
        """Take in what a feed lists. Raises FetchFailed where it is none."""
        listed = feeds.addresses(answer.body)
        if not listed:
            raise FetchFailed(f"content_type: {answer.media_type}", unreachable=False)
        found = (normalise(url, waiting.url) for url in listed)
        links = Links(tuple(url for url in found if url is not None))
        depth = waiting.depth + 1
        accepted = [url for url in links.urls if self._accepts(url)]
        targets = [url for url in accepted if not self._too_deep(depth, url)]
        self.frontier.read_feed(waiting, targets)
        return False

    def _redirect(self, waiting: Waiting, answer: Answer) -> None:
        target = normalise(answer.headers.get("location", ""), waiting.url)
        if target is None or target == waiting.url or waiting.hops >= MAX_REDIRECTS:
            raise FetchFailed(_NOWHERE, unreachable=False)
        if not self._accepts(target):
            raise FetchFailed(f"redirect_elsewhere: {target}", unreachable=False)
        self.frontier.move(waiting, target)

    def _is_wanted(self, answer: Answer) -> bool:
        return answer.status == 200 and (self._is_text(answer) or self._is_feed(answer))

    def _is_text(self, answer: Answer) -> bool:
        return answer.media_type in ("", *TEXT_TYPES)

    def _is_feed(self, answer: Answer) -> bool:
        return self.values.feeds and answer.media_type in feeds.TYPES

    def _too_deep(self, depth: int, url: str) -> bool:
        budget = self.values.budgets.get(host(url))
        most = self.values.max_depth
        if budget is not None and budget.max_depth is not None:
            most = budget.max_depth
        return most is not None and depth > most

    def _max_pages_of(self, name: str) -> int | None:
        """How many pages of a host are wanted at most."""
        budget = self.values.budgets.get(name)
        if budget is not None and budget.max_pages is not None:
            return budget.max_pages
        return self.values.max_pages_per_host

    def _accepts(self, url: str) -> bool:
        """Whether the recipe lets the crawl go there."""
        if bare(host(url)) not in self.hosts or matches(url, self.values.exclude):
            return False
        if is_endless(url):
            return False
        return not self.values.include or matches(url, self.values.include)

    def _site(self, name: str) -> Site:
        if name not in self.sites:
            values = self.values
            factor = values.latency_factor if values.delay_seconds else 0.0
            pace = self.paces.setdefault(
                host(name), Pace(values.delay_seconds, factor, values.max_crawl_delay_seconds)
            )
            limit = 1 if values.delay_seconds else values.host_concurrency
            self.sites[name] = Site(name, pace, limit=limit)
        return self.sites[name]

    async def _rules(self, site: Site) -> robots.Rules | None:
        """The site's robots.txt, once a day. None, with `site.problem`, when it cannot be had."""
        async with site.lock:
            if site.problem is None and (site.rules is None or not _is_fresh(site.rules_from)):
                site.rules = None
                try:
                    status, body, site.rules_from = await self._robots(site)
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
        site.pace.delay_seconds = max(site.pace.delay_seconds, asked)
        site.pace.wait(site.pace.pause_seconds)
        site.limit = 1 if asked > 0 else site.limit

    async def _robots(self, site: Site) -> tuple[int, bytes, float]:
        """(status, body, when) of robots.txt, redirects followed. Raises FetchFailed."""
        known = self.frontier.robots(site.origin)
        if known is None or not _is_fresh(known[2]):
            now = time.time()
            url = f"{site.origin}/robots.txt"
            try:
                answer = await self._follow(url, robots.MAX_BYTES, whole=False)
                known = (answer.status, answer.body, now)
            except FetchFailed as failure:
                # There is none to be had (RFC 9309, 2.3.1.2), or the server does not give it (2.3.1.3).
                # 429 is left out of that, though a 4xx: who says that he is asked too much is not to
                # be asked for pages, and what he allows is not known.
                if failure.reason != _NOWHERE and failure.status not in (408, 425):
                    raise
                known = (failure.status or 404, b"", now)
            # Not only those that are worth another try: each 5xx closes the site (2.3.1.4).
            if known[0] >= 500:
                raise FetchFailed(f"http_{known[0]}", True, known[0])
            self.frontier.set_robots(site.origin, *known)
        return known

    async def _follow(
        self, url: str, max_bytes: int, whole: bool = True, ask_rules: bool = False
    ) -> Answer:
        """Fetch a file that is no page, some redirects on, wherever these lead.

        Each host on the way is asked at its own pace; with `ask_rules`, at that of its robots.txt,
        and only if there is nothing against the host as a whole.
        """
        for _ in range(robots.MAX_REDIRECTS + 1):
            site = self._site(origin(url))
            if ask_rules:
                await self._rules(site)
                if site.problem is not None:
                    raise site.problem
            answer = await self.fetcher.get(
                url, site.pace, lambda head: head.status == 200, max_bytes, whole=whole
            )
            self.frontier.add_number("downloaded_bytes", len(answer.body))
            target = normalise(answer.headers.get("location", ""), url)
            if not 300 <= answer.status < 400 or target is None:
                return answer
            url = target
        raise FetchFailed(_NOWHERE, unreachable=False)

    async def _read_sitemaps(self) -> None:
        """Take in the sitemaps of the seeds' sites, each in its order, so that pages have theirs."""
        names = dict.fromkeys(origin(seed) for seed in self.seeds)
        try:
            async with asyncio.TaskGroup() as group:
                for place, name in enumerate(names):
                    group.create_task(self._read_sitemaps_of(self._site(name), place))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _read_sitemaps_of(self, site: Site, place: int) -> None:
        """Take in the sitemaps of one site, the seeds' `place`-th."""
        rules = await self._rules(site)
        if rules is None or site.problem is not None:
            return
        waiting = deque(rules.sitemaps or [f"{site.origin}/sitemap.xml"])
        seen: set[str] = set()
        while waiting and len(seen) < MAX_SITEMAPS:
            url = normalise(waiting.popleft(), site.origin)
            if url is not None and url not in seen:
                seen.add(url)
                waiting.extend(await self._read_sitemap(url, site, rules, place))

    async def _read_sitemap(
        self, url: str, site: Site, rules: robots.Rules, place: int
    ) -> list[str]:
        """Fetch one sitemap unless that is done; returns the further ones that it names."""
        known = self.frontier.sitemap(url)
        if known is not None:
            return known
        if origin(url) == site.origin and not rules.allowed(url):
            return []
        try:
            answer = await self._follow(url, sitemaps.MAX_BYTES, ask_rules=True)
        except FetchFailed as failure:
            self.report.warning(f"the sitemap {url} is left out: {failure.reason}")
            return []
        listed = sitemaps.read(answer.body if answer.status == 200 else b"")
        found = (page for page in map(normalise, listed.pages) if page and self._accepts(page))
        pages = [page for page in found if not self._too_deep(1, page)]
        self.frontier.set_sitemap(url, pages, listed.sitemaps, place)
        return list(listed.sitemaps)


def _is_fresh(fetched_at: float) -> bool:
    """Whether a robots.txt of that moment may still be gone by; one from the future is not."""
    return 0 <= time.time() - fetched_at <= robots.MAX_AGE_SECONDS
