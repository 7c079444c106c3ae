"""The crawl of web sites: which page next, from which host, and what becomes of the answer."""

import asyncio
from asyncio import timeout
from collections.abc import Iterable

from llm.corpus import robots
from llm.corpus.archive.pages import Page
from llm.corpus.archive.warc import terms
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.web import feeds, scope
from llm.corpus.web.budgets import Queue
from llm.corpus.web.discovery import Sitemaps
from llm.corpus.web.fetch import NOT_THE_SITE_S, NOWHERE, Answer, Fetcher, FetchFailed, unforeseen
from llm.corpus.web.frontier import MILLISECONDS, OUT_OF_TIME, Frontier, Waiting
from llm.corpus.web.links import Links, read_headers
from llm.corpus.web.parse import Parser
from llm.corpus.web.recrawl import Known, NightBefore, found_on
from llm.corpus.web.scope import Scope
from llm.corpus.web.sites import Site, Sites
from llm.corpus.web.traps import ENDLESS
from llm.corpus.web.urls import Address, host, origin, resolve
from llm.corpus.web.websource import WebSource
from llm.step import Reporter

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = (*HTML_TYPES, "text/plain", "text/markdown", "text/x-rst")

MAX_REDIRECTS = 10


class Crawler:
    """One crawl: `await run()` fetches until nothing waits or enough pages are kept."""

    def __init__(
        self,
        values: WebSource,
        frontier: Frontier,
        fetcher: Fetcher,
        parser: Parser,
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
        self.parser = parser
        self.scope = Scope(values)
        self.sites = Sites(self.scope, frontier, fetcher, before, report)
        self.agent = next(reversed(robots.product_tokens(values.user_agent)), "")
        self.kept = frontier.totals()[0]
        self.kept_of = frontier.pages_by_host()
        self.noted = 0.0

    async def run(self) -> None:
        """Fetch level by level, as long as there is time. Raises only what the disk is at fault for."""
        self.frontier.start(self.scope.seeds)
        self.frontier.start_with(
            (Address(url, written), depth, listed)
            for url, depth, written, listed in self.before.left()
            if not self.scope.refusal(url) and not self.scope.too_deep(depth, url)
        )
        hours = self.values.max_hours
        spent = self.frontier.number(MILLISECONDS) / 1000
        left = None if hours is None else max(0.0, hours * 3600 - spent)
        self.noted = asyncio.get_running_loop().time()
        try:
            async with timeout(left) as limit:
                await self._run()
        except TimeoutError:
            if not limit.expired():
                raise
            self.frontier.add_number(OUT_OF_TIME)
            waiting = self.frontier.count("waiting")
            self.report.warning(
                f"the crawl has had its {hours:g} hours (max_hours): {waiting:,} addresses wait for the "
                "next night"
            )

    def _note_time(self) -> None:
        """Keep how long the crawl has taken, so that one that goes on after a kill knows."""
        now = asyncio.get_running_loop().time()
        self.frontier.add_number(MILLISECONDS, round(1000 * (now - self.noted)))
        self.noted = now

    async def _run(self) -> None:
        if self.values.sitemaps:
            await Sitemaps(
                self.scope, self.sites, self.frontier, self.parser, self._targets, self.report
            ).read()
        while self.kept < self.values.max_pages:
            level = self.frontier.next_level(self.values.max_per_pattern)
            if level is not None:
                await self._crawl_level(level)
            elif not self._recall():
                return

    def _recall(self) -> bool:
        """Ask for what the night before had and nothing leads to any more. False: there is nothing."""
        rest = self.before.not_seen()
        return self.frontier.recall(
            (url, depth) for url, depth in rest if not self.scope.refusal(url)
        )

    async def _crawl_level(self, level: int) -> None:
        """Fetch a level in its order, as far as pages are wanted.

        Only as many addresses are let in as pages are missing, one more for each that gives none.
        So, whatever order the answers come in, the pages kept are the first ones of the level.
        """
        waiting = self.frontier.waiting(level)
        total = min(self.values.max_pages, self.kept + len(waiting))
        queue = Queue(waiting, self.kept_of, self.scope.max_pages_of)

        def admit(found: Waiting, group: asyncio.TaskGroup) -> None:
            site = self.sites.site(origin(found.url))
            site.queue.append(found)
            if site.running < site.limit:
                site.running += 1
                group.create_task(work_off(site, group))

        async def work_off(site: Site, group: asyncio.TaskGroup) -> None:
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
        try:
            rules = await self.sites.rules(site)
            if self.takedown and self.takedown.covers(waiting.url):
                raise FetchFailed("taken_down", unreachable=False)
            if site.problem is not None:
                raise site.problem
            # Both what is asked for and what the page that linked to it wrote.
            spelled = filter(None, (waiting.url, waiting.written))
            if rules is not None and not all(map(rules.allowed, spelled)):
                raise FetchFailed("robots_disallowed", unreachable=False)
            known = self.before.page(waiting.url)
            answer = await self._ask(waiting.url, site, known)
            site.silent = 0
            if answer.status == 304 and known is not None:
                return self._keep_unchanged(waiting, answer, known)
            return await self._take(waiting, answer, known)
        except FetchFailed as failure:
            self.frontier.give_up(waiting, failure.reason, unreachable=failure.unreachable)
            self.sites.note_failure(site, failure)
            return False
        except NOT_THE_SITE_S:
            raise
        except Exception as error:
            reason = unforeseen(error)
            self.report.warning(f"{waiting.url} is left out: {reason}")
            self.frontier.give_up(waiting, reason)
            return False
        finally:
            self._note_time()

    async def _ask(self, url: str, site: Site, known: Known | None) -> Answer:
        """Fetch a page; one that is known, on the condition that it changed."""
        if known is not None and self.values.recrawl == "conditional":
            answer = await self.fetcher.get(
                url, site.pace, self._is_wanted, headers=known.conditions
            )
            said = "\n".join(terms(answer.headers))
            if answer.status != 304 or said in ("", known.terms):
                return answer
        elif (file := self.before.file(url)) and self.values.recrawl == "conditional":
            answer = await self.fetcher.get(
                url, site.pace, self._is_wanted, headers=file.conditions
            )
            if answer.status == 304:
                answer = file.restore(answer)
                self.before.keep_file(answer, file)
            return answer
        # Not known, or the same text on new terms, which then belong to the page.
        return await self.fetcher.get(url, site.pace, self._is_wanted)

    async def _take(self, waiting: Waiting, answer: Answer, known: Known | None) -> bool:
        """Keep a page, follow a redirect, or raise FetchFailed."""
        self.frontier.add_number("downloaded_bytes", len(answer.body))
        if answer.status in (301, 302, 303, 307, 308):
            self._redirect(waiting, answer)
            return False
        if answer.status != 200:
            raise FetchFailed(f"http_{answer.status}", unreachable=False)
        if self._is_feed(answer):
            return await self._read_feed(waiting, answer)
        if not self._is_text(answer):
            raise FetchFailed(f"content_type: {answer.media_type}", unreachable=False)
        said = answer.lines("x-robots-tag", "refresh", "content-type")
        links = read_headers(said, self.agent, waiting.url)
        if answer.media_type in ("", *HTML_TYPES):
            links = await self.parser.links(answer.body, waiting.url, said, self.agent)
        if self._is_to_be_left_out(waiting, links, answer):
            return False
        page = Page(
            url=waiting.url,
            payload=answer.body,
            status=answer.status,
            content_type=answer.content_type,
            headers=answer.headers,
            fetched_at=answer.fetched_at,
            depth=waiting.depth,
            state="new" if known is None else "changed",
            request=answer.request,
        )
        found = found_on(page, links)
        if known is not None and known.is_same(page):
            page = known.revisit(page)
        targets, moved = self._followed(waiting, links), self._moved(waiting, links)
        self.frontier.keep(waiting, page, targets, found, links.problem, moved)
        return True

    def _keep_unchanged(self, waiting: Waiting, answer: Answer, known: Known) -> bool:
        """Keep a page that the server says is what it was; its links are the known ones."""
        if self._is_to_be_left_out(waiting, known.links, answer):
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
        targets = self._followed(waiting, known.links)
        moved = self._moved(waiting, known.links)
        self.frontier.keep(waiting, known.revisit(page), targets, known.packed, "", moved)
        return True

    def _is_to_be_left_out(self, waiting: Waiting, links: Links, answer: Answer) -> bool:
        """Give up a page that asks not to be kept, unless the recipe says otherwise. True: given up."""
        if self.values.noindex == "keep" or not links.asks_to_be_left_out(answer.fetched_at):
            return False
        targets, moved = self._followed(waiting, links), self._moved(waiting, links)
        self.frontier.give_up(waiting, "noindex", targets, moved=moved)
        return True

    def _moved(self, waiting: Waiting, links: Links) -> Address | None:
        """Where the page's refresh leads, if the crawl may go there: as far from the seeds as the page."""
        target = links.refresh
        if target is None or waiting.hops >= MAX_REDIRECTS:
            return None
        refusal = self._refusal_of_move(waiting, target)
        if refusal and waiting.depth == 0:
            self.report.warning(
                f"{waiting.url} leads on to {target.url}, which is left out: {refusal}"
            )
        return None if refusal else target

    def _refusal_of_move(self, waiting: Waiting, target: Address) -> str:
        refusal = self.scope.refusal(target.url)
        # The seeds are fetched whatever `include` says, and so is what they have moved to.
        return "" if refusal == scope.NOT_INCLUDED and waiting.depth == 0 else refusal

    def _followed(self, waiting: Waiting, links: Links) -> list[Address]:
        """The links of a page that the crawl is to follow."""
        follow = self.values.follow_links
        # The seeds' feeds only: many sites have one for the comments on each page.
        named = links.feeds if self.values.feeds and waiting.depth == 0 else ()
        return self._targets(waiting.depth + 1, (*(links.urls if follow else ()), *named))

    def _targets(self, depth: int, found: Iterable[Address]) -> list[Address]:
        """Of addresses at this depth (links from a seed), those to ask for, each once."""
        targets: dict[str, Address] = {}
        endless: list[str] = []
        for address in found:
            url = address.url
            if url in targets or self.scope.too_deep(depth, url):
                continue
            refusal = self.scope.refusal(url)
            if not refusal:
                targets[url] = address
            elif refusal == ENDLESS:
                endless.append(url)
        if endless:
            self.frontier.refuse(endless, ENDLESS)
        return list(targets.values())

    async def _read_feed(self, waiting: Waiting, answer: Answer) -> bool:
        """Take in what a feed (or a sitemap that a seed names) lists. Raises FetchFailed where it is none."""
        found = await self.parser.listing(answer.body, waiting.url, answer.charset)
        listed = (*found.pages, *map(Address, found.sitemaps))
        if not listed:
            raise FetchFailed(f"content_type: {answer.media_type}", unreachable=False)
        self.before.keep_file(answer, None)
        self.frontier.read_feed(waiting, self._targets(waiting.depth + 1, listed))
        return False

    def _redirect(self, waiting: Waiting, answer: Answer) -> None:
        target = next(filter(None, (resolve(line, waiting.url) for line in answer.locations)), None)
        if target is None or target.url == waiting.url or waiting.hops >= MAX_REDIRECTS:
            raise FetchFailed(NOWHERE, unreachable=False)
        refusal = self._refusal_of_move(waiting, target)
        if refusal == ENDLESS:
            raise FetchFailed(ENDLESS, unreachable=False)
        if refusal:
            raise FetchFailed(f"redirect_{refusal}: {target.url}", unreachable=False)
        self.frontier.move(waiting, target)

    def _is_wanted(self, answer: Answer) -> bool:
        return answer.status == 200 and (self._is_text(answer) or self._is_feed(answer))

    def _is_text(self, answer: Answer) -> bool:
        return answer.media_type in ("", *TEXT_TYPES)

    def _is_feed(self, answer: Answer) -> bool:
        return self.values.feeds and answer.media_type in feeds.TYPES
