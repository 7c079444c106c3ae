"""The artifact of a crawl: pages as WARC 1.1 (ISO 28500), in shards, with an index."""

import base64
import gzip
import hashlib
import uuid
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.pages import PLACE_BITS, Page, PageStore
from llm.durable import replacing
from llm.step import BadInput, Context, StepResult, digest_of

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
    ]
)
FAILURES = pa.schema([("url", pa.string()), ("reason", pa.string())])

# WARC header with the place in the user's own file that a record was read from, percent-encoded.
POSITION = "X-Source-Position"
_READABLE = "/#:@!$&'()*+,;=~-._ "

# Headers that speak of the transfer, not of the page as it is stored.
_TRANSFER = {"content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"}

_FIELDS = b"software: Penstock\r\nformat: WARC File Format 1.1\r\n"
_INFORMATION = (
    b"WARC/1.1\r\nWARC-Type: warcinfo\r\n"
    b"WARC-Record-ID: <urn:uuid:ad7be75d-d96c-5d63-9a2f-cbe2bd5ca26a>\r\n"
    b"WARC-Date: 1970-01-01T00:00:00Z\r\nContent-Type: application/warc-fields\r\n"
    b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(_FIELDS), _FIELDS)
)


def write_pages(
    store: PageStore, context: Context, shard_bytes: int, counts: dict[str, Any]
) -> StepResult:
    """Write `pages/*.warc.gz`, index.parquet and failures.parquet of all that is in `store`.

    Shards hold `shard_bytes` on average (payload, uncompressed); which page is in which follows
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
            rows = _write_shard(store, folder / f"{part}.warc.gz", shard, shards)
            table = pa.Table.from_pylist([{**row, "part": part} for row in rows], schema=INDEX)
            index.write_table(table)
            parts[part] = _content(rows)
            done += len(rows)
            context.report.progress(done, pages, "pages written")
    failures = [{"url": url, "reason": reason} for url, reason in store.failures()]
    table = pa.Table.from_pylist(failures, schema=FAILURES)
    pq.write_table(table, context.out / "failures.parquet", compression="zstd")
    reasons = Counter(_kind_of(row["reason"]) for row in failures)
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
        summary=f"{pages:,} pages, {size / 1e6:.1f} MB",
    )


def shard_count(size: int, shard_bytes: int) -> int:
    """The smallest power of two that brings the mean shard to `shard_bytes` or less."""
    count = 1
    while size > count * shard_bytes:
        count *= 2
    return count


def record(page: Page) -> bytes:
    """A page as one WARC record, uncompressed. Its id follows from URL and payload."""
    digest = base64.b32encode(page.digest).decode()
    if page.kind == "response":
        block = _http(page)
        content_type = "application/http; msgtype=response"
    else:
        block = page.payload
        content_type = page.content_type
    block_digest = hashlib.sha1(block, usedforsecurity=False).digest()
    lines = [
        "WARC/1.1",
        f"WARC-Type: {page.kind}",
        f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, page.url + digest)}>",
        f"WARC-Target-URI: {page.url}",
        f"WARC-Date: {page.fetched_at}",
        f"WARC-Block-Digest: sha1:{base64.b32encode(block_digest).decode()}",
        f"WARC-Payload-Digest: sha1:{digest}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(block)}",
    ]
    if page.position:
        lines.insert(4, f"{POSITION}: {quote(page.position, safe=_READABLE)}")
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + block + b"\r\n\r\n"


def _http(page: Page) -> bytes:
    """Status line, headers and the payload, decoded: transfer headers are kept under other names."""
    try:
        phrase = HTTPStatus(page.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {page.status} {phrase}"]
    for name, value in page.headers.items():
        if name.lower() in _TRANSFER:
            name = f"X-Crawl-{name}"
        lines.append(f"{name}: {' '.join(value.split())}")
    lines.append(f"Content-Length: {len(page.payload)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + page.payload


def _write_shard(store: PageStore, path: Path, shard: int, shards: int) -> list[dict[str, Any]]:
    """Write one shard; returns its rows of the index, by URL."""
    width = (1 << PLACE_BITS) // shards
    rows = []
    with replacing(path) as aside, aside.open("wb") as stream:
        stream.write(gzip.compress(_INFORMATION, compresslevel=6, mtime=0))
        for page in store.between(shard * width, (shard + 1) * width):
            # One gzip member a record, as readers that seek expect; no time stamp in it.
            stream.write(gzip.compress(record(page), compresslevel=6, mtime=0))
            rows.append(
                {
                    "url": page.url,
                    "status": page.status,
                    "content_type": page.content_type,
                    "payload_digest": page.digest.hex(),
                    "bytes": len(page.payload),
                    "fetched_at": page.fetched_at,
                    "depth": page.depth,
                }
            )
    return rows


def _content(rows: list[dict[str, Any]]) -> str:
    """Digest over what later steps read of a shard: address, type and payload of each page."""
    fields = ("url", "content_type", "payload_digest")
    return digest_of(row[name] for row in rows for name in fields)


def _kind_of(reason: str) -> str:
    """The part of a reason that is counted: what stands before the details."""
    return reason.partition(":")[0]
