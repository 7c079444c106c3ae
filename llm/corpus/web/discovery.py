"""The pages that sites list in their sitemaps: found, checked, and put into the frontier."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from llm.corpus import robots
from llm.corpus.web import sitemaps
from llm.corpus.web.fetch import NOT_THE_SITE_S, FetchFailed, unforeseen
from llm.corpus.web.frontier import Frontier
from llm.corpus.web.parse import Parser
from llm.corpus.web.scope import Scope
from llm.corpus.web.sites import Site, Sites
from llm.corpus.web.urls import Address, normalise, origin
from llm.step import Reporter

MAX_SITEMAPS = 1000
# Sitemaps may list this many times the pages that are wanted; many of them may lead to none.
_MORE_THAN_WANTED = 10


class Sitemaps:
    """Reads the sitemaps of the seeds' sites.

    targets: of addresses at this depth (links from a seed), those that the crawl may go to.
    """

    def __init__(
        self,
        scope: Scope,
        sites: Sites,
        frontier: Frontier,
        parser: Parser,
        targets: Callable[[int, Iterable[Address]], list[Address]],
        report: Reporter,
    ) -> None:
        self.sites = sites
        self.frontier = frontier
        self.parser = parser
        self.targets = targets
        self.report = report
        self.names = list(dict.fromkeys(origin(seed) for seed in scope.seeds))
        wanted = scope.values.max_pages
        # Each site by itself, so that which pages get in does not depend on who answers first.
        self.most = max(wanted, _MORE_THAN_WANTED * wanted // max(1, len(self.names)))

    async def read(self) -> None:
        """Take in all sitemaps, each site's in their order, so that pages have theirs."""
        try:
            async with asyncio.TaskGroup() as group:
                for place, name in enumerate(self.names):
                    group.create_task(self._read_of(self.sites.site(name), place))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _read_of(self, site: Site, place: int) -> None:
        """Take in the sitemaps of one site, the seeds' `place`-th."""
        rules = await self.sites.rules(site)
        if rules is None or site.problem is not None:
            return
        waiting = deque(rules.sitemaps or [f"{site.origin}/sitemap.xml"])
        seen: set[str] = set()
        while waiting:
            url = normalise(waiting.popleft(), site.origin)
            if url is None or url in seen:
                continue
            if len(seen) == MAX_SITEMAPS:
                self._cut(url, f"sitemaps_cut: only the first {MAX_SITEMAPS} of a site are read")
                return
            if self.frontier.sitemap(url) is None and self.frontier.listed(place) >= self.most:
                self._cut(url, self._enough)
                return
            seen.add(url)
            waiting.extend(await self._read_one(url, site, rules, place))

    @property
    def _enough(self) -> str:
        return f"sitemaps_cut: only the first {self.most} pages that a site lists are taken"

    def _cut(self, url: str, reason: str) -> None:
        self.frontier.refuse([url], reason)
        self.report.warning(f"from the sitemap {url} on no more is read: {reason}")

    async def _read_one(self, url: str, site: Site, rules: robots.Rules, place: int) -> list[str]:
        """Fetch one sitemap unless that is done; returns the further ones that it names."""
        known = self.frontier.sitemap(url)
        if known is not None:
            return known
        if origin(url) == site.origin and not rules.allowed(url):
            return []
        try:
            answer = await self.sites.follow(url, sitemaps.MAX_BYTES, ask_rules=True)
            found = await self.parser.listing(answer.body, url, answer.charset)
        except FetchFailed as failure:
            self.report.warning(f"the sitemap {url} is left out: {failure.reason}")
            return []
        except NOT_THE_SITE_S:
            raise
        except Exception as error:
            self.frontier.refuse([url], unforeseen(error))
            self.report.warning(f"the sitemap {url} is left out: {unforeseen(error)}")
            return []
        if answer.status != 200:
            self.frontier.set_sitemap(url, [], [], place)
            return []
        pages = self.targets(1, found.pages)
        room = self.most - self.frontier.listed(place)
        if found.problem:
            self.frontier.refuse([url], found.problem)
            self.report.warning(f"the sitemap {url}: {found.problem}")
        if len(pages) > room:
            self._cut(url, self._enough)
        self.frontier.set_sitemap(url, pages[:room], found.sitemaps, place)
        return list(found.sitemaps)
