"""Pages on their way into an artifact: one SQLite file that any kill leaves whole."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import zstandard

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    place INTEGER NOT NULL, url TEXT NOT NULL, digest BLOB NOT NULL, kind TEXT NOT NULL,
    status INTEGER NOT NULL, content_type TEXT NOT NULL, headers TEXT NOT NULL,
    fetched_at TEXT NOT NULL, depth INTEGER NOT NULL, position TEXT NOT NULL, bytes INTEGER NOT NULL,
    state TEXT NOT NULL, request TEXT NOT NULL, earlier TEXT NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS pages_by_place ON pages (place, url, digest);
CREATE TABLE IF NOT EXISTS failures (url TEXT NOT NULL, reason TEXT NOT NULL);
"""

PLACE_BITS = 62

# Control characters, and what else ends a line (Unicode, 5.8).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True)
class Earlier:
    """A page as an earlier crawl kept it. digest: SHA-1 of its payload. size: of that (bytes)."""

    digest: bytes
    size: int
    fetched_at: str
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True)
class Page:
    """One page as it came.

    kind: "response" (a web page with its HTTP headers), "resource" (one without), "conversion" (text
    from a file) or "revisit" (a web page that is still what `earlier` says, without its payload).
    headers: those of one name are apart by line ends (see `web.headers`).
    content_type: as declared, with its charset. fetched_at: ISO 8601, UTC. depth: links from a seed.
    position: where in the user's own file or archive it was read.
    state: new, changed or unchanged since the crawl before.
    request: the headers that it was asked for with, without secrets; none: not kept.
    """

    url: str
    payload: bytes
    kind: str = "response"
    status: int = 200
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fetched_at: str = "1970-01-01T00:00:00Z"
    depth: int = 0
    position: str = ""
    state: str = "new"
    request: Mapping[str, str] = field(default_factory=dict)
    earlier: Earlier | None = None

    @cached_property
    def digest(self) -> bytes:
        """SHA-1 of the payload, as WARC files name it."""
        if self.earlier is not None:
            return self.earlier.digest
        return hashlib.sha1(self.payload, usedforsecurity=False).digest()

    @property
    def size(self) -> int:
        """Bytes of the payload, whether it is here or not."""
        return len(self.payload) if self.earlier is None else self.earlier.size


def place(url: str) -> int:
    """Where a URL belongs among the shards: a number below 2**62 that is even over all URLs."""
    state = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(state.digest(), "big") >> (64 - PLACE_BITS)


def _storable(text: str) -> str:
    """The text with "?" for lone surrogates, which have no UTF-8: odd file names, broken JSON."""
    return text.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """The text as it may stand in a header: no line end, no control character, single blanks."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _address(url: str) -> str:
    """The address with control characters and line ends percent-encoded."""
    return _CONTROL.sub(lambda match: quote(match[0], errors="replace"), _storable(url))


def known_date(text: str) -> str:
    """A date of the shape that WARC files have; another one's is not known."""
    try:
        moment = datetime.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        moment = None
    return Page.fetched_at if moment is None else text


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


class PageStore:
    """Pages and failures in `path`. Every method is one transaction unless `transaction` is used.

    Killed at any moment, the file holds each transaction whole or not at all.
    """

    def __init__(self, path: Path, schema: str = "", version: int = 2) -> None:
        """Open or make the file. One that another version of the code left is made again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.database = sqlite3.connect(path, isolation_level=None)
        found = self.database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            self.database.close()
            _remove(path)
            self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=NORMAL")
        self.database.executescript(_SCHEMA + schema)
        self.database.execute(f"PRAGMA user_version={version}")
        self._pack = zstandard.ZstdCompressor(level=1)
        self._unpack = zstandard.ZstdDecompressor()

    @classmethod
    def fresh(cls, path: Path) -> "PageStore":
        """Make the file again, for what is read again quicker than gone on with."""
        _remove(path)
        return cls(path)

    def close(self) -> None:
        """Give the file back. What was committed stays."""
        self.database.close()

    def transaction(self) -> "Transaction":
        """Group what happens inside `with` into one transaction."""
        return Transaction(self.database)

    def add(self, page: Page) -> None:
        """Keep a page."""
        self.database.execute(
            "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                place(url := _address(page.url)),
                url,
                page.digest,
                page.kind,
                page.status,
                one_line(_storable(page.content_type)),
                json.dumps(dict(page.headers)),
                known_date(page.fetched_at),
                page.depth,
                _storable(page.position),
                page.size,
                page.state,
                json.dumps(dict(page.request)),
                "" if page.earlier is None else _pack_earlier(page.earlier),
                self._pack.compress(page.payload),
            ),
        )

    def fail(self, url: str, reason: str) -> None:
        """Note what could not be had, and why."""
        said = (_storable(url), _storable(reason))
        self.database.execute("INSERT INTO failures VALUES (?, ?)", said)

    def totals(self) -> tuple[int, int]:
        """Pages, and bytes of their payloads as far as these are here."""
        query = """SELECT count(*), coalesce(sum(CASE WHEN kind = 'revisit' THEN 0 ELSE bytes END), 0)
            FROM pages"""
        count, size = self.database.execute(query).fetchone()
        return count, size

    def states(self) -> dict[str, tuple[int, int]]:
        """Pages, and bytes of their payloads, by state."""
        query = "SELECT state, count(*), sum(bytes) FROM pages GROUP BY state"
        return {state: (count, size) for state, count, size in self.database.execute(query)}

    def failures(self) -> list[tuple[str, str]]:
        """(url, reason), sorted."""
        query = "SELECT url, reason FROM failures ORDER BY url, reason"
        return self.database.execute(query).fetchall()

    def between(self, start: int, stop: int) -> Iterator[Page]:
        """The pages whose place is in [start, stop), sorted by URL, then payload."""
        query = """SELECT url, kind, status, content_type, headers, fetched_at, depth, position,
                state, request, earlier, bytes, rowid
            FROM pages WHERE place >= ? AND place < ? ORDER BY url, digest, rowid"""
        for row in self.database.execute(query, (start, stop)).fetchall():
            packed = self.database.execute("SELECT payload FROM pages WHERE rowid=?", (row[-1],))
            yield Page(
                url=row[0],
                payload=self._unpack.decompress(packed.fetchone()[0], max_output_size=row[-2]),
                kind=row[1],
                status=row[2],
                content_type=row[3],
                headers=json.loads(row[4]),
                fetched_at=row[5],
                depth=row[6],
                position=row[7],
                state=row[8],
                request=json.loads(row[9]),
                earlier=_unpack_earlier(row[10]) if row[10] else None,
            )


def _pack_earlier(earlier: Earlier) -> str:
    return json.dumps([earlier.digest.hex(), *astuple(earlier)[1:]])


def _unpack_earlier(text: str) -> Earlier:
    digest, *rest = json.loads(text)
    return Earlier(bytes.fromhex(digest), *rest)


class Transaction:
    """`with Transaction(database):` commits at the end, and rolls back on an error."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def __enter__(self) -> None:
        self.database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.database.execute("COMMIT" if kind is None else "ROLLBACK")
