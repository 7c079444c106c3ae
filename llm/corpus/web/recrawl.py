"""What the crawl of the night before knew: so that tonight's asks only for what changed.

The night before is read from its artifact: index.parquet (its pages with ETag and Last-Modified) and
links.parquet (what each of them links to, so that the links of an unchanged page can be followed
without its body). Of a page that is still the same nothing is downloaded, and nothing stored but a
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
from llm.corpus.web.frontier import Frontier
from llm.corpus.web.links import Links
from llm.step import BadInput

LINKS = pa.schema(
    [
        ("url", pa.string()),
        ("links", pa.list_(pa.string())),
        ("feeds", pa.list_(pa.string())),
        ("terms", pa.string()),
        ("noindex", pa.bool_()),
    ]
)
"""What a page links to. terms: what its headers say may be done with it. noindex: it asks not to be kept."""

GONE = pa.schema([("url", pa.string()), ("reason", pa.string())])
"""Pages that the night before had and that are no more, or may not be had any more."""

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
        if not self.packed:
            return {}
        found = {
            "If-None-Match": self.earlier.etag,
            "If-Modified-Since": self.earlier.last_modified,
        }
        return {name: value for name, value in found.items() if value}

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
        about = Links(tuple(links["links"]), links["noindex"], tuple(links["feeds"]))
        return Known(earlier, row["content_type"], about, links["terms"], found[1])

    def not_seen(self) -> list[tuple[str, int]]:
        """(url, depth) of the pages of the night before that nothing has led to yet, nearest first."""
        query = """SELECT url, depth FROM earlier WHERE url NOT IN (SELECT url FROM urls)
            ORDER BY depth, url"""
        return self.database.execute(query).fetchall()

    def gone(self) -> list[tuple[str, str]]:
        """(url, reason) of the pages that are no more, by URL. Those not reached are not among them."""
        marks = ",".join("?" * len(_GONE))
        query = f"""SELECT earlier.url, reason FROM earlier JOIN urls USING (url)
            WHERE state = 'failed' AND reason IN ({marks}) ORDER BY earlier.url"""
        return self.database.execute(query, _GONE).fetchall()

    def unseen(self) -> Iterator[dict[str, Any]]:
        """Rows of the index of the pages that were not asked for tonight, or gave no answer."""
        for _, row, _ in self._rest():
            yield {**json.loads(row), "part": "", "state": "unseen"}

    def write(self, out: Path) -> None:
        """Write links.parquet, of all pages that are known, and gone.parquet."""
        with pq.ParquetWriter(out / "links.parquet", LINKS, compression="zstd") as writer:
            for batch in _batches(self._all_links()):
                writer.write_table(pa.Table.from_pylist(batch, schema=LINKS))
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
            # Where it is missing, an older program made the crawl: its pages are downloaded again.
            if not (folder / "links.parquet").exists():
                return
            with pq.ParquetFile(folder / "links.parquet") as links:
                for batch in links.iter_batches(_BATCH):
                    packed = [(_packed(row), row["url"]) for row in batch.to_pylist()]
                    query = "UPDATE earlier SET links = ? WHERE url = ?"
                    self.database.executemany(query, packed)
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
    about = {"links": links.urls, "feeds": links.feeds, "noindex": links.noindex}
    return _packed({**about, "terms": "\n".join(terms(page.headers))})


def _packed(row: Mapping[str, Any]) -> bytes:
    return _PACK.compress(json.dumps(row).encode())


def _links(packed: bytes) -> dict[str, Any]:
    if not packed:
        return {"links": [], "feeds": [], "terms": "", "noindex": False}
    row: dict[str, Any] = json.loads(_UNPACK.decompress(packed))
    row.pop("url", None)
    return row


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
