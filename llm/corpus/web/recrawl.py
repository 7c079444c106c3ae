"""What the crawl of the night before knew: so that tonight's asks only for what changed.

The night before is read from its artifact: index.parquet (its pages with ETag and Last-Modified),
links.parquet (what each of them links to, so that the links of an unchanged page can be followed
without its body) and files.parquet (robots.txt, sitemaps and feeds as they came). Of a page that is still the same nothing is downloaded, and nothing stored but a
revisit record.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from llm.corpus.archive.pages import Earlier, Page
from llm.corpus.archive.warc import terms
from llm.corpus.web.fetch import Answer
from llm.corpus.web.frontier import OUT_OF_TIME, Frontier
from llm.corpus.web.headers import can_be_sent, only
from llm.corpus.web.links import Links
from llm.corpus.web.urls import Address
from llm.step import BadInput

LINKS = pa.schema(
    [
        ("url", pa.string()),
        ("links", pa.list_(pa.string())),
        ("feeds", pa.list_(pa.string())),
        ("terms", pa.string()),
        ("noindex", pa.bool_()),
        ("until", pa.string()),
        ("refresh", pa.string()),
        ("written", pa.map_(pa.string(), pa.string())),
    ]
)
"""What a page links to. written: of these, how those were written that are asked for otherwise. terms: what its headers say may be done with it. noindex: it asks not to be kept; until: from when on. refresh: where a browser goes on to by itself."""

FILES = pa.schema(
    [
        ("url", pa.string()),
        ("content_type", pa.string()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
        ("body", pa.binary()),
    ]
)
"""What was fetched that is not a page and that a server can say is unchanged. body: packed with zstd."""

GONE = pa.schema([("url", pa.string()), ("reason", pa.string())])
"""Pages that the night before had and that are gone, or may not be had any more."""

LEFT = pa.schema(
    [
        ("url", pa.string()),
        ("depth", pa.int32()),
        ("written", pa.string()),
        ("listed", pa.bool_()),
    ]
)
"""Addresses that were not asked for as the time was over: the next night begins with them."""

_GONE = ("http_404", "http_410", "robots_disallowed", "noindex", "taken_down")
_BATCH = 10_000
_PACK = zstandard.ZstdCompressor(level=1)
_UNPACK = zstandard.ZstdDecompressor()


@dataclass(frozen=True)
class Known:
    """A page of the night before. terms: see LINKS."""

    earlier: Earlier
    content_type: str
    links: Links
    terms: str
    packed: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the page only if it changed (RFC 9110, section 13).

        None where nobody knows what it links to: then its body is needed.
        """
        return _conditions(self.earlier.etag, self.earlier.last_modified) if self.packed else {}

    def is_same(self, page: Page) -> bool:
        """Whether a page that was downloaded says what it said, as it said it."""
        said = "\n".join(terms(page.headers))
        now = (page.digest, page.content_type, said)
        return now == (self.earlier.digest, self.content_type, self.terms)

    def revisit(self, page: Page) -> Page:
        """The page as one that is unchanged, without its payload."""
        return dataclasses.replace(
            page, kind="revisit", state="unchanged", payload=b"", earlier=self.earlier
        )


@dataclass(frozen=True)
class KnownFile:
    """A robots.txt, a sitemap or a feed of the night before. packed: its body."""

    content_type: str
    etag: str
    last_modified: str
    packed: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for it only if it changed."""
        return _conditions(self.etag, self.last_modified)

    def restore(self, answer: Answer) -> Answer:
        """What the answer 304 stands for."""
        headers = {**answer.headers, "content-type": self.content_type}
        body = _UNPACK.decompress(self.packed)
        return dataclasses.replace(answer, status=200, headers=headers, body=body)


class NightBefore:
    """The pages of the night before, in the frontier's file: there is none where `folder` is None."""

    def __init__(self, frontier: Frontier, folder: Path | None) -> None:
        """Read the artifact in `folder`, unless that is done. Raises BadInput where it is damaged."""
        self.database = frontier.database
        self.frontier = frontier
        self.exists = folder is not None
        if folder is not None and not frontier.number("night_before"):
            with frontier.transaction():
                self._load(folder)
                frontier.add_number("night_before")

    def page(self, url: str) -> Known | None:
        """What was known of a page; None where the night before did not have it."""
        if not self.exists:
            return None
        query = "SELECT row, links FROM earlier WHERE url = ?"
        found = self.database.execute(query, (url,)).fetchone()
        if found is None:
            return None
        row, links = json.loads(found[0]), _links(found[1])
        earlier = Earlier(
            bytes.fromhex(row["payload_digest"]),
            row["bytes"],
            row["fetched_at"],
            row.get("etag") or "",
            row.get("last_modified") or "",
        )
        written = dict(links["written"])
        urls, named = (
            tuple(Address(url, written.get(url, "")) for url in links[of])
            for of in ("links", "feeds")
        )
        refresh = links.get("refresh")
        about = Links(
            urls,
            links["noindex"],
            named,
            refresh=Address(refresh, written.get(refresh, "")) if refresh else None,
            until=links.get("until") or "",
        )
        return Known(earlier, row["content_type"], about, links["terms"], found[1])

    def file(self, url: str) -> KnownFile | None:
        """What was known of a robots.txt, a sitemap or a feed."""
        query = """SELECT content_type, etag, last_modified, body FROM earlier_files
            WHERE url = ?"""
        found = self.database.execute(query, (url,)).fetchone()
        return None if found is None else KnownFile(*found)

    def keep_file(self, answer: Answer, known: KnownFile | None) -> None:
        """Keep a file for the next night, if the server can then say that it is unchanged.

        known: what it was, where the server says that it is still that.
        """
        etag = only(answer.headers, "etag") or (known.etag if known else "")
        modified = only(answer.headers, "last-modified") or (known.last_modified if known else "")
        if answer.status != 200 or not (etag or modified):
            return
        packed = known.packed if known else _PACK.compress(answer.body)
        self.database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            (answer.url, answer.content_type, etag, modified, packed),
        )

    def left(self) -> list[tuple[str, int, str, bool]]:
        """(url, depth, written, listed) of what the night before had no time for, in its order."""
        query = "SELECT url, depth, written, listed FROM earlier_left ORDER BY rowid"
        return self.database.execute(query).fetchall()

    def not_seen(self) -> list[tuple[str, int]]:
        """(url, depth) of the pages of the night before that nothing has led to yet, nearest first."""
        query = """SELECT url, depth FROM earlier WHERE url NOT IN (SELECT url FROM urls)
            ORDER BY depth, url"""
        return self.database.execute(query).fetchall()

    def gone(self) -> list[tuple[str, str]]:
        """(url, reason) of the pages that are gone, by URL. Those not reached are not among them."""
        marks = ",".join("?" * len(_GONE))
        query = f"""SELECT earlier.url, reason FROM earlier JOIN urls USING (url)
            WHERE state = 'failed' AND reason IN ({marks}) ORDER BY earlier.url"""
        return self.database.execute(query, _GONE).fetchall()

    def unseen(self) -> Iterator[dict[str, Any]]:
        """Rows of the index of the pages that were not asked for tonight, or gave no answer."""
        for _, row, _ in self._rest():
            yield {**json.loads(row), "part": "", "state": "unseen"}

    def write(self, out: Path) -> None:
        """Write links.parquet, of all pages that are known, files.parquet, gone.parquet and left.parquet."""
        with pq.ParquetWriter(out / "links.parquet", LINKS, compression="zstd") as writer:
            for batch in _batches(self._all_links()):
                writer.write_table(pa.Table.from_pylist(batch, schema=LINKS))
        names = FILES.names
        found = self.database.execute(f"SELECT {', '.join(names)} FROM files ORDER BY url")
        with pq.ParquetWriter(out / "files.parquet", FILES) as writer:
            for row in found:
                writer.write_table(
                    pa.Table.from_pylist([dict(zip(names, row, strict=True))], schema=FILES)
                )
        if self.frontier.number(OUT_OF_TIME):
            left = [dict(zip(LEFT.names, row, strict=True)) for row in self.frontier.left()]
            pq.write_table(
                pa.Table.from_pylist(left, schema=LEFT), out / "left.parquet", compression="zstd"
            )
        rows = [{"url": url, "reason": reason} for url, reason in self.gone()]
        table = pa.Table.from_pylist(rows, schema=GONE)
        pq.write_table(table, out / "gone.parquet", compression="zstd")

    def _load(self, folder: Path) -> None:
        try:
            with pq.ParquetFile(folder / "index.parquet") as index:
                for batch in index.iter_batches(_BATCH):
                    rows = [
                        (row["url"], row["depth"], json.dumps(row), b"")
                        for row in batch.to_pylist()
                    ]
                    query = "INSERT OR REPLACE INTO earlier VALUES (?, ?, ?, ?)"
                    self.database.executemany(query, rows)
            if (folder / "left.parquet").exists():
                rows = pq.read_table(folder / "left.parquet").select(LEFT.names).to_pylist()
                query = "INSERT OR REPLACE INTO earlier_left VALUES (?, ?, ?, ?)"
                self.database.executemany(query, [tuple(row.values()) for row in rows])
            # Where it is missing, an older program made the crawl: its pages are downloaded again.
            if not (folder / "links.parquet").exists():
                return
            with pq.ParquetFile(folder / "links.parquet") as links:
                for batch in links.iter_batches(_BATCH):
                    packed = [(_packed(row), row["url"]) for row in batch.to_pylist()]
                    query = "UPDATE earlier SET links = ? WHERE url = ?"
                    self.database.executemany(query, packed)
            if not (folder / "files.parquet").exists():
                return
            with pq.ParquetFile(folder / "files.parquet") as files:
                for number in range(files.num_row_groups):
                    rows = [tuple(row.values()) for row in files.read_row_group(number).to_pylist()]
                    query = "INSERT OR REPLACE INTO earlier_files VALUES (?, ?, ?, ?, ?)"
                    self.database.executemany(query, rows)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise BadInput(
                f"the crawl of the night before in {folder} cannot be read ({error}): set "
                "recrawl: full and crawl again with --force"
            ) from error

    def _rest(self) -> Iterator[tuple[str, str, bytes]]:
        """(url, row, links) of the pages that are neither kept tonight nor gone."""
        marks = ",".join("?" * len(_GONE))
        query = f"""SELECT earlier.url, row, links FROM earlier LEFT JOIN urls USING (url)
            WHERE coalesce(state, '') != 'page'
                AND NOT (coalesce(state, '') = 'failed' AND coalesce(reason, '') IN ({marks}))
            ORDER BY earlier.url"""
        yield from self.database.execute(query, _GONE)

    def _all_links(self) -> Iterator[dict[str, Any]]:
        for url, links in self.frontier.all_links():
            yield {"url": url, **_links(links)}
        for url, _, links in self._rest():
            yield {"url": url, **_links(links)}


def found_on(page: Page, links: Links) -> bytes:
    """What is kept for the next night of a page that was downloaded."""
    refresh = () if links.refresh is None else (links.refresh,)
    about = {
        "links": [found.url for found in links.urls],
        "feeds": [found.url for found in links.feeds],
        "noindex": links.noindex,
        "until": links.until,
        "refresh": links.refresh.url if links.refresh else "",
        "written": [found for found in (*links.urls, *links.feeds, *refresh) if found.written],
    }
    return _packed({**about, "terms": "\n".join(terms(page.headers))})


def _conditions(etag: str, last_modified: str) -> dict[str, str]:
    """What can be sent: a value with other characters could not be told back as it came."""
    found = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return {name: value for name, value in found.items() if can_be_sent(value)}


def _packed(row: Mapping[str, Any]) -> bytes:
    return _PACK.compress(json.dumps(row).encode())


def _links(packed: bytes) -> dict[str, Any]:
    if not packed:
        return {"links": [], "feeds": [], "terms": "", "noindex": False, "written": []}
    row: dict[str, Any] = json.loads(_UNPACK.decompress(packed))
    row.pop("url", None)
    row["written"] = [tuple(pair) for pair in row.get("written") or ()]
    return row


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
