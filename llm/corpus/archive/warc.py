"""The artifact of a crawl: pages as WARC 1.1 (ISO 28500), in shards, with an index."""

import gzip
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.archive.pages import PLACE_BITS, Page, PageStore
from llm.corpus.archive.records import INFORMATION, records
from llm.corpus.archive.records import POSITION as POSITION
from llm.corpus.web.headers import lines, listed, only
from llm.durable import replacing
from llm.step import BadInput, Context, StepResult, digest_of
from llm.words import counted

INDEX = pa.schema(
    [
        ("url", pa.string()),
        ("status", pa.int32()),
        ("content_type", pa.string()),
        ("payload_digest", pa.string()),
        ("bytes", pa.int64()),
        ("part", pa.string()),
        ("fetched_at", pa.string()),
        ("depth", pa.int32()),
        ("state", pa.string()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
    ]
)
"""One row a page. part: the shard that holds its payload, "" where an earlier crawl's does.

state: new, changed, unchanged, or unseen (known from the crawl before, and not asked for tonight).
"""

FAILURES = pa.schema([("url", pa.string()), ("reason", pa.string())])

_BATCH = 10_000
# Kinds of failures that a step's summary names.
_KINDS_TOLD = 4

# Headers that say what may be done with a page, and so belong to its content.
_TERMS = ("x-robots-tag", "tdm-reservation", "tdm-policy")


def write_pages(
    store: PageStore,
    context: Context,
    shard_bytes: int,
    counts: Mapping[str, Any],
    unseen: Iterable[Mapping[str, Any]] = (),
    summary: str = "",
) -> StepResult:
    """Write `pages/*.warc.gz`, index.parquet and failures.parquet of all that is in `store`.

    summary: what to say of the pages; "": their number and size. unseen: further rows of the index, of pages that lie elsewhere. Shards hold `shard_bytes` on average (payload, uncompressed); which page is in which follows
    from its URL alone. Raises BadInput when there is no page at all.
    """
    pages, size = store.totals()
    if not pages:
        raise BadInput("there is no page to write")
    shards = shard_count(size, shard_bytes)
    folder = context.out / "pages"
    folder.mkdir()
    parts: dict[str, str] = {}
    done = 0
    with pq.ParquetWriter(context.out / "index.parquet", INDEX, compression="zstd") as index:
        for shard in range(shards):
            part = f"{shard:05d}"
            rows, parts[part] = _write_shard(store, folder / f"{part}.warc.gz", shard, shards)
            index.write_table(pa.Table.from_pylist(rows, schema=INDEX))
            done += len(rows)
            context.report.progress(done, pages, "pages written")
        rest = iter(unseen)
        while batch := list(islice(rest, _BATCH)):
            index.write_table(pa.Table.from_pylist(batch, schema=INDEX))
    failures = [{"url": url, "reason": reason} for url, reason in store.failures()]
    table = pa.Table.from_pylist(failures, schema=FAILURES)
    pq.write_table(table, context.out / "failures.parquet", compression="zstd")
    reasons = Counter(_kind_of(row["reason"]) for row in failures)
    told = _tell(failures, reasons, context)
    return StepResult(
        counts={
            "pages": pages,
            "bytes": size,
            "shards": shards,
            "failures": dict(sorted(reasons.items())),
            **counts,
        },
        content=digest_of(item for part in parts.items() for item in part),
        parts=parts,
        summary=(summary or f"{counted(pages, 'page')}, {size / 1e6:.1f} MB") + told,
    )


def _tell(failures: Sequence[Mapping[str, str]], reasons: Counter[str], context: Context) -> str:
    """Show what gave no page, by kind; returns the same in short, for the step's summary."""
    if not failures:
        return ""
    rows = []
    for kind, count in reasons.most_common():
        first = next(row for row in failures if _kind_of(row["reason"]) == kind)
        rows.append(
            {"kind": kind, "count": count, "example": first["url"], "reason": first["reason"]}
        )
        said = f" ({first['reason']})" if first["reason"] != kind else ""
        context.report.info(f"no page: {kind} {count:,}, such as {first['url']}{said}")
    context.report.table(
        "failures", rows, "What gave no page, by kind. All are in the artifact's failures.parquet."
    )
    context.report.info(
        f"all {len(failures):,} failures are in failures.parquet in the step's folder, which `penstock "
        "show crawl` names"
    )
    kinds = ", ".join(f"{row['kind']} {row['count']:,}" for row in rows[:_KINDS_TOLD])
    more = f" and {len(rows) - _KINDS_TOLD} kinds more" if len(rows) > _KINDS_TOLD else ""
    example = f", such as {rows[0]['example']}"
    return f"; {len(failures):,} gave no page ({kinds}{more}{example}; all in failures.parquet)"


def shard_count(size: int, shard_bytes: int) -> int:
    """The smallest power of two that brings the mean shard to `shard_bytes` or less."""
    count = 1
    while size > count * shard_bytes:
        count *= 2
    return count


def _write_shard(
    store: PageStore, path: Path, shard: int, shards: int
) -> tuple[list[dict[str, Any]], str]:
    """Write one shard. Returns its rows of the index, by URL, and the digest of its content.

    That is over what later steps read of it: address, type, terms and payload of each page.
    """
    width = (1 << PLACE_BITS) // shards
    part = path.name.partition(".")[0]
    rows, content = [], list[str]()
    with replacing(path) as aside, aside.open("wb") as stream:
        stream.write(gzip.compress(INFORMATION, compresslevel=6, mtime=0))
        for page in store.between(shard * width, (shard + 1) * width):
            for record in records(page):
                # One gzip member a record, as readers that seek expect; no time stamp in it.
                stream.write(gzip.compress(record, compresslevel=6, mtime=0))
            rows.append(_row(page, part))
            if page.earlier is None:
                content += [page.url, page.content_type, page.digest.hex(), *terms(page.headers)]
    return rows, digest_of(content)


def terms(headers: Mapping[str, str]) -> list[str]:
    """What a page's headers (in lower case) say may be done with it, as "name: value"."""
    said = [(name, line) for name in _TERMS for line in lines(headers, name)]
    # Of a Link header, which may name a good deal that changes with each answer, the licence only.
    linked = listed(headers, "link").split(",")
    said.append(("link", ",".join(link.strip() for link in linked if "license" in link.lower())))
    return [f"{name}: {value}" for name, value in said if value]


def _row(page: Page, part: str) -> dict[str, Any]:
    """A page's row of the index."""
    was = page.earlier
    return {
        "url": page.url,
        "status": 200 if page.status == 304 else page.status,
        "content_type": page.content_type,
        "payload_digest": page.digest.hex(),
        "bytes": page.size,
        "part": part if was is None else "",
        "fetched_at": page.fetched_at if was is None else was.fetched_at,
        "depth": page.depth,
        "state": page.state,
        "etag": only(page.headers, "etag") or (was.etag if was else ""),
        "last_modified": only(page.headers, "last-modified") or (was.last_modified if was else ""),
    }


def _kind_of(reason: str) -> str:
    """The part of a reason that is counted: what stands before the details."""
    return reason.partition(":")[0]
