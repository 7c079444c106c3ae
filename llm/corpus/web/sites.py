"""The sites of a crawl: the robots.txt of each, its pace, and what there is against it."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from llm.corpus import robots
from llm.corpus.web.fetch import (
    NOT_THE_SITE_S,
    NOWHERE,
    PRIVATE,
    Answer,
    Fetcher,
    FetchFailed,
    unforeseen,
)
from llm.corpus.web.frontier import Frontier, Waiting
from llm.corpus.web.pace import Pace
from llm.corpus.web.recrawl import NightBefore
from llm.corpus.web.scope import Scope
from llm.corpus.web.urls import host, normalise, origin
from llm.step import Reporter

# After this many addresses in a row without any answer, a host is left alone.
MAX_SILENT = 5
# Statuses by which a server speaks for all its pages when it says how long to stay away.
_ASK_TO_WAIT = (429, 503)
_PRIVATE = "redirect: leads to a private address"


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


class Sites:
    """All sites of one crawl, and how files of theirs that are not pages are fetched."""

    def __init__(
        self,
        scope: Scope,
        frontier: Frontier,
        fetcher: Fetcher,
        before: NightBefore,
        report: Reporter,
    ) -> None:
        self.scope = scope
        self.values = scope.values
        self.frontier = frontier
        self.fetcher = fetcher
        self.before = before
        self.report = report
        self.sites: dict[str, Site] = {}
        self.paces: dict[str, Pace] = {}

    def site(self, name: str) -> Site:
        """The site of an origin."""
        if name not in self.sites:
            values = self.values
            factor = values.latency_factor if values.delay_seconds else 0.0
            pace = self.paces.setdefault(
                host(name), Pace(values.delay_seconds, factor, values.max_crawl_delay_seconds)
            )
            limit = 1 if values.delay_seconds else values.host_concurrency
            self.sites[name] = Site(name, pace, limit=limit)
        return self.sites[name]

    def note_failure(self, site: Site, failure: FetchFailed) -> None:
        """Leave a site alone that asks for it, or that has not answered for long."""
        if site.problem is not None:
            return
        if failure.asked is not None and failure.status in _ASK_TO_WAIT:
            reason = f"{failure.reason}, and asks for {failure.asked:.0f} s of peace"
        elif failure.unreachable:
            site.silent += 1
            if site.silent < MAX_SILENT:
                return
            reason = failure.reason
        else:
            return
        site.problem = FetchFailed(f"host_unreachable: {reason}", True, failure.status)
        self.report.warning(f"{site.origin} is left alone: {reason}")

    async def rules(self, site: Site) -> robots.Rules | None:
        """The site's robots.txt, once a day. None, with `site.problem`, when it cannot be had."""
        async with site.lock:
            if site.problem is None and (site.rules is None or not _is_fresh(site.rules_from)):
                site.rules = None
                try:
                    status, body, site.rules_from = await self._robots(site)
                    rules = robots.from_response(status, body, self.values.user_agent)
                    self._slow_down(site, rules.delay_seconds)
                    site.rules = rules
                except FetchFailed as failure:
                    reason = failure.reason
                    if failure.unreachable:
                        reason = f"robots_unreachable: {reason}"
                    site.problem = FetchFailed(reason, failure.unreachable)
                except NOT_THE_SITE_S:
                    raise
                except Exception as error:
                    site.problem = FetchFailed(f"robots_{unforeseen(error)}", unreachable=False)
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
                answer = await self.follow(url, robots.MAX_BYTES, whole=False)
                known = (answer.status, answer.body, now)
            except FetchFailed as failure:
                # There is none to be had (RFC 9309, 2.3.1.2), or the server does not give it (2.3.1.3).
                # 429 is left out of that, though a 4xx: who says that he is asked too much is not to
                # be asked for pages, and what he allows is not known.
                if failure.reason not in (NOWHERE, _PRIVATE) and failure.status not in (408, 425):
                    raise
                known = (failure.status or 404, b"", now)
            # Not only those that are worth another try: each 5xx closes the site (2.3.1.4).
            if known[0] >= 500:
                raise FetchFailed(f"http_{known[0]}", True, known[0])
            self.frontier.set_robots(site.origin, *known)
        return known

    async def follow(
        self, url: str, max_bytes: int, whole: bool = True, ask_rules: bool = False
    ) -> Answer:
        """Fetch a file that is not a page, some redirects on, wherever in public these lead.

        Each host on the way is asked at its own pace; with `ask_rules`, at that of its robots.txt,
        and only if there is nothing against the host as a whole. What the night before had is asked
        for on the condition that it changed.
        """
        for hop in range(robots.MAX_REDIRECTS + 1):
            site = self.site(origin(url))
            if ask_rules:
                await self.rules(site)
                if site.problem is not None:
                    raise site.problem
            known = self.before.file(url) if self.values.recrawl == "conditional" else None
            conditions = known.conditions if known is not None else None
            try:
                answer = await self.fetcher.get(
                    url, site.pace, _is_ok, max_bytes, conditions, whole=whole
                )
            except FetchFailed as failure:
                if hop and failure.reason.startswith(PRIVATE):
                    raise FetchFailed(_PRIVATE, unreachable=False) from failure
                if ask_rules and failure.asked is not None:
                    self.note_failure(site, failure)
                raise
            self.frontier.add_number("downloaded_bytes", len(answer.body))
            unchanged = known if answer.status == 304 else None
            if unchanged is not None:
                answer = unchanged.restore(answer)
            target = next(filter(None, (normalise(line, url) for line in answer.locations)), None)
            if not 300 <= answer.status < 400 or target is None:
                self.before.keep_file(answer, unchanged)
                return answer
            url = target
        raise FetchFailed(NOWHERE, unreachable=False)


def _is_ok(answer: Answer) -> bool:
    return answer.status == 200


def _is_fresh(fetched_at: float) -> bool:
    """Whether a robots.txt of that moment may still be gone by; one from the future is not."""
    return 0 <= time.time() - fetched_at <= robots.MAX_AGE_SECONDS
