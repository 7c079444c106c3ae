"""What a crawl has seen, has fetched and has still to fetch, so that any kill can be undone.

Pages are fetched level by level (breadth first). A level's order is fixed once the level before
it is finished: by the order of the page that linked first, then by the place of the link on it.
So which pages a limit lets in does not depend on which answers came first.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.web.traps import patterns
from llm.corpus.web.urls import Address, host

VERSION = 6

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
    url TEXT PRIMARY KEY, depth INTEGER NOT NULL, level INTEGER NOT NULL,
    parent INTEGER NOT NULL, position INTEGER NOT NULL, hops INTEGER NOT NULL,
    listed INTEGER NOT NULL, written TEXT NOT NULL, rank INTEGER,
    state TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS urls_by_level ON urls (level, state);
CREATE UNIQUE INDEX IF NOT EXISTS urls_by_rank ON urls (rank);
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, status INTEGER NOT NULL, body BLOB NOT NULL, fetched_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS sitemaps (url TEXT PRIMARY KEY, position INTEGER, found TEXT);
CREATE TABLE IF NOT EXISTS links (url TEXT PRIMARY KEY, found BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS earlier (url TEXT PRIMARY KEY, depth INTEGER NOT NULL, row TEXT NOT NULL, links BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS earlier_left (url TEXT PRIMARY KEY, depth INTEGER NOT NULL, written TEXT NOT NULL, listed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (url TEXT PRIMARY KEY, content_type TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS earlier_files (url TEXT PRIMARY KEY, content_type TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS patterns (pattern TEXT PRIMARY KEY, seen INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

# Names of numbers: whether the time was over before the work, and how much has gone into it.
OUT_OF_TIME, MILLISECONDS = "out_of_time", "milliseconds"

# Where sitemaps' pages stand in level 1: behind everything that the seeds link to.
_BEHIND_LINKS = 1 << 60
# More pages than the sitemaps of one site list.
_SITEMAP_PAGES = 1 << 40


@dataclass(frozen=True)
class Waiting:
    """An address to fetch. `rank`: its place among all; `depth`: links from the nearest seed.

    written: how it was written where it was found, "" where that is no other than `url`.
    """

    url: str
    rank: int
    depth: int
    level: int
    hops: int
    written: str


class Frontier(PageStore):
    """The state of one crawl in the folder `work`; give it the same folder to go on.

    Each address is `waiting`, or done: a `page`, a `redirect`, a `feed`, `failed`, `unreachable`
    (failed for now: the network or the server, not the address) or `left` (its host's budget is
    spent). Each step forward is one transaction.
    """

    def __init__(self, work: Path) -> None:
        super().__init__(work / "frontier.sqlite", _SCHEMA, VERSION)

    def start(self, seeds: Sequence[str]) -> None:
        """Put the seeds in; those that are there already stay as they are."""
        with self.transaction():
            for position, seed in enumerate(seeds):
                place = {"level": 0, "parent": 0, "position": position}
                self._see(Address(seed), depth=0, hops=0, listed=True, **place)

    def start_with(self, found: Iterable[tuple[Address, int, bool]]) -> None:
        """Put (address, depth, listed) in before everything that the seeds link to."""
        with self.transaction():
            for position, (address, depth, listed) in enumerate(found):
                place = {"level": 1, "parent": 0, "position": position}
                self._see(address, depth=depth, hops=0, listed=listed, **place)

    def left(self) -> Iterator[tuple[str, int, str, bool]]:
        """(url, depth, written, listed) of what waits, in the order in which it would have come."""
        query = """SELECT url, depth, written, listed FROM urls WHERE state = 'waiting'
            ORDER BY level, rank, parent, position, url"""
        for url, depth, written, listed in self.database.execute(query):
            yield url, depth, written, bool(listed)

    def recall(self, urls: Iterable[tuple[str, int]]) -> bool:
        """Put (url, depth) that nothing has led to in a level behind all others. True: there are some."""
        query = "SELECT coalesce(max(level), 0) + 1 FROM urls"
        level = int(self.database.execute(query).fetchone()[0])
        position = -1
        with self.transaction():
            for position, (url, depth) in enumerate(urls):
                place = {"level": level, "parent": 0, "position": position}
                self._see(Address(url), depth=depth, hops=0, listed=True, **place)
        return position >= 0

    def next_level(self, max_per_pattern: int | None = None) -> int | None:
        """Fix the order of the first level that is not finished; None when everything is done.

        In that order, up to this many addresses of a pattern are let in (see `traps`), none: all.
        """
        query = "SELECT min(level) FROM urls WHERE state = 'waiting'"
        level: int | None = self.database.execute(query).fetchone()[0]
        if level is None:
            return None
        with self.transaction():
            self.database.execute(
                """WITH fresh AS (
                    SELECT url AS name, row_number() OVER (ORDER BY parent, position, url)
                        + (SELECT coalesce(max(rank), 0) FROM urls) AS place
                    FROM urls WHERE level = ? AND rank IS NULL)
                UPDATE urls SET rank = place FROM fresh WHERE url = name""",
                (level,),
            )
            if max_per_pattern is not None:
                self._leave_out_traps(level, max_per_pattern)
        return level

    def _leave_out_traps(self, level: int, limit: int) -> None:
        """Give up the addresses of a level whose patterns have had their share; once a level."""
        if self.number("traps_checked") > level:
            return
        self.database.execute(
            "INSERT INTO numbers VALUES ('traps_checked', ?1) ON CONFLICT DO UPDATE SET value = ?1",
            (level + 1,),
        )
        seen: Counter[str] = Counter(dict(self.database.execute("SELECT * FROM patterns")))
        query = """SELECT url FROM urls WHERE level = ? AND state = 'waiting' AND NOT listed
            ORDER BY rank"""
        for (url,) in self.database.execute(query, (level,)).fetchall():
            own = patterns(url)
            full = next((name for name, share in own if seen[name] >= share * limit), None)
            if full is None:
                seen.update(name for name, _ in own)
            else:
                reason = f"trap: {limit} addresses like {full}"
                self._finish(url, "failed", reason)
                self.fail(url, reason)
        rows = seen.items()
        self.database.executemany("INSERT OR REPLACE INTO patterns VALUES (?, ?)", rows)

    def waiting(self, level: int) -> list[Waiting]:
        """What is to be fetched of a level, in its order."""
        query = """SELECT url, rank, depth, level, hops, written FROM urls
            WHERE level = ? AND state = 'waiting' ORDER BY rank"""
        return [Waiting(*row) for row in self.database.execute(query, (level,))]

    def count(self, *states: str) -> int:
        """How many addresses are in these states."""
        marks = ",".join("?" * len(states))
        query = f"SELECT count(*) FROM urls WHERE state IN ({marks})"
        return int(self.database.execute(query, states).fetchone()[0])

    def seeds(self) -> list[tuple[str, str, str]]:
        """(url, state, reason) of every seed, in order; of one that moved, where it came to."""
        query = "SELECT url, state, reason FROM urls WHERE level = 0 ORDER BY position"
        found: list[tuple[str, str, str]] = []
        for url, state, reason in self.database.execute(query).fetchall():
            step, seen = (state, reason), {url}
            while step[0] == "redirect" and step[1] not in seen:
                seen.add(step[1])
                target = "SELECT state, reason FROM urls WHERE url = ?"
                step = self.database.execute(target, (step[1],)).fetchone() or (
                    "failed",
                    "redirect",
                )
            found.append((url, *step))
        return found

    def keep(
        self,
        waiting: Waiting,
        page: Page,
        links: Iterable[Address],
        found: bytes,
        problem: str = "",
        moved: Address | None = None,
    ) -> None:
        """A page came: keep it, its links for the next level, and all that was found on it.

        problem: why links of it are missing, if any are.
        moved: where a browser goes on to by itself, one level on but no deeper.
        """
        with self.transaction():
            self.add(page)
            if problem:
                self.fail(page.url, problem)
            self.database.execute("INSERT INTO links VALUES (?, ?)", (page.url, found))
            self._finish(waiting.url, "page")
            self._move(waiting, moved)
            for position, link in enumerate(links):
                self._link(waiting, link, position)

    def read_feed(self, waiting: Waiting, links: Iterable[Address]) -> None:
        """The address is a feed: what it lists is wanted, it is not."""
        with self.transaction():
            self._finish(waiting.url, "feed", "feed: what it lists gave no page")
            for position, link in enumerate(links):
                self._link(waiting, link, position, listed=True)

    def leave(self, waiting: Iterable[Waiting]) -> None:
        """There is no room for these addresses."""
        with self.transaction():
            for one in waiting:
                self._finish(one.url, "left")

    def all_links(self) -> Iterator[tuple[str, bytes]]:
        """(url, what was found on it) of all pages, by URL."""
        yield from self.database.execute("SELECT url, found FROM links ORDER BY url")

    def pages_by_host(self) -> Counter[str]:
        """How many pages each host has given."""
        return Counter(host(url) for (url,) in self.database.execute("SELECT url FROM pages"))

    def move(self, waiting: Waiting, target: Address) -> None:
        """The address redirects: its target takes its place, one level on but no deeper."""
        with self.transaction():
            self._finish(waiting.url, "redirect", target.url)
            self._move(waiting, target)

    def give_up(
        self,
        waiting: Waiting,
        reason: str,
        links: Iterable[Address] = (),
        unreachable: bool = False,
        moved: Address | None = None,
    ) -> None:
        """The address gives no page, for this reason; its links count all the same."""
        with self.transaction():
            self._finish(waiting.url, "unreachable" if unreachable else "failed", reason)
            self.fail(waiting.url, reason)
            self._move(waiting, moved)
            for position, link in enumerate(links):
                self._link(waiting, link, position)

    def refuse(self, urls: Iterable[str], reason: str) -> None:
        """Note addresses that are never to be asked for, each once, and why."""
        query = """INSERT OR IGNORE INTO urls (url, depth, level, parent, position, hops, listed,
            written, state, reason) VALUES (?, 0, -1, 0, 0, 0, 0, '', 'failed', ?)"""
        with self.transaction():
            for url in urls:
                if self.database.execute(query, (url, reason)).rowcount:
                    self.fail(url, reason)

    def forgive(self) -> None:
        """Let the unreachable be tried again, as if they had not been."""
        with self.transaction():
            self.database.execute(
                """DELETE FROM failures WHERE url IN
                (SELECT url FROM urls WHERE state = 'unreachable')"""
            )
            self.database.execute(
                "UPDATE urls SET state = 'waiting', reason = '' WHERE state = 'unreachable'"
            )

    def robots(self, origin: str) -> tuple[int, bytes, float] | None:
        """(status, body, when) of a site's robots.txt as it was fetched; None: not fetched yet.

        when: seconds since 1970, so that its age is known to a crawl that goes on days later.
        """
        query = "SELECT status, body, fetched_at FROM robots WHERE origin = ?"
        found: tuple[int, bytes, float] | None = self.database.execute(query, (origin,)).fetchone()
        return found

    def set_robots(self, origin: str, status: int, body: bytes, fetched_at: float) -> None:
        """Remember a site's robots.txt."""
        values = (origin, status, body, fetched_at)
        self.database.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)", values)

    def sitemap(self, url: str) -> list[str] | None:
        """The further sitemaps that a sitemap named; None: not fetched yet."""
        query = "SELECT found FROM sitemaps WHERE url = ?"
        row = self.database.execute(query, (url,)).fetchone()
        return None if row is None else list(json.loads(row[0]))

    def listed(self, place: int) -> int:
        """How many pages the sitemaps of the seeds' `place`-th site have listed so far."""
        first = place * _SITEMAP_PAGES
        query = "SELECT max(position) FROM sitemaps WHERE position >= ? AND position < ?"
        found = self.database.execute(query, (first, first + _SITEMAP_PAGES)).fetchone()[0]
        return 0 if found is None else int(found) - first

    def set_sitemap(
        self, url: str, pages: Sequence[Address], sitemaps: Sequence[str], place: int = 0
    ) -> None:
        """Take a sitemap's pages into level 1, behind those of the same site's earlier sitemaps.

        place: which of the seeds' sites it is, whose order is that of their pages.
        """
        with self.transaction():
            start = place * _SITEMAP_PAGES + self.listed(place)
            for position, page in enumerate(pages, start=start):
                where = {"level": 1, "parent": _BEHIND_LINKS, "position": position}
                self._see(page, depth=1, hops=0, listed=True, **where)
            values = (url, start + len(pages), json.dumps(list(sitemaps)))
            self.database.execute("INSERT OR IGNORE INTO sitemaps VALUES (?, ?, ?)", values)

    def add_number(self, name: str, amount: int = 1) -> None:
        """Count something across kills, such as requests."""
        self.database.execute(
            "INSERT INTO numbers VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + ?",
            (name, amount, amount),
        )

    def forget_number(self, name: str) -> None:
        """Count from zero again."""
        self.database.execute("DELETE FROM numbers WHERE name = ?", (name,))

    def number(self, name: str) -> int:
        """What `add_number` came to."""
        query = "SELECT value FROM numbers WHERE name = ?"
        row = self.database.execute(query, (name,)).fetchone()
        return int(row[0]) if row else 0

    def _move(self, waiting: Waiting, target: Address | None) -> None:
        if target is not None:
            self._see(
                target,
                depth=waiting.depth,
                level=waiting.level + 1,
                parent=waiting.rank,
                position=-1,
                hops=waiting.hops + 1,
            )

    def _link(self, waiting: Waiting, link: Address, position: int, listed: bool = False) -> None:
        self._see(
            link,
            depth=waiting.depth + 1,
            level=waiting.level + 1,
            parent=waiting.rank,
            position=position,
            hops=0,
            listed=listed,
        )

    def _see(
        self,
        address: Address,
        *,
        depth: int,
        level: int,
        parent: int,
        position: int,
        hops: int,
        listed: bool = False,
    ) -> None:
        """Note an address. Found again before its level starts, the nearest and first place wins,
        whichever was seen first; found after that, nothing changes. Of its spellings, the plain one
        does, else the first in the alphabet.

        listed: somebody vouches for it, so that it is in no trap.
        """
        self.database.execute(
            """INSERT INTO urls (url, depth, level, parent, position, hops, listed, written)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET
                depth = min(depth, ?2), hops = min(hops, ?6), listed = max(listed, ?7),
                written = min(written, ?8),
                parent = CASE WHEN (?4, ?5) < (parent, position) THEN ?4 ELSE parent END,
                position = CASE WHEN (?4, ?5) < (parent, position) THEN ?5 ELSE position END
            WHERE rank IS NULL AND level = ?3""",
            (address.url, depth, level, parent, position, hops, listed, address.written),
        )

    def _finish(self, url: str, state: str, reason: str = "") -> None:
        self.database.execute(
            "UPDATE urls SET state = ?, reason = ? WHERE url = ?", (state, reason, url)
        )
