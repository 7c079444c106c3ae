"""Makes small crawls, laid out as the crawl stage leaves them."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

DATE = "2026-01-02T03:04:05Z"

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


def make_crawl(
    folder: Path,
    pages: Sequence[tuple[str, str | bytes]],
    content_type: str = "text/html; charset=utf-8",
    part: str = "00000",
    status: str = "200 OK",
    date: str = DATE,
    headers: Sequence[tuple[str, str]] = (),
) -> Path:
    """A crawl of (URL, body) pages in one part. Called again, adds a part. Returns the folder."""
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    rows = []
    with (folder / "pages" / f"{part}.warc.gz").open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for url, body in pages:
            data = body if isinstance(body, bytes) else body.encode()
            http = StatusAndHeaders(
                status, [("Content-Type", content_type), *headers], protocol="HTTP/1.1"
            )
            record = writer.create_warc_record(
                url,
                "response",
                payload=BytesIO(data),
                http_headers=http,
                warc_headers_dict={"WARC-Date": date},
            )
            writer.write_record(record)
            rows.append(_index_row(url, data, content_type, part, date))
    _add_to_index(folder, rows)
    return folder


def make_texts(folder: Path, texts: Sequence[tuple[str, str]], part: str = "00000") -> Path:
    """A crawl of plain texts, as sources of files leave it: `conversion` records."""
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    rows = []
    with (folder / "pages" / f"{part}.warc.gz").open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for url, text in texts:
            data = text.encode()
            record = writer.create_warc_record(
                url,
                "conversion",
                payload=BytesIO(data),
                warc_content_type="text/plain",
                warc_headers_dict={"WARC-Date": DATE},
            )
            writer.write_record(record)
            rows.append(_index_row(url, data, "text/plain", part, DATE))
    _add_to_index(folder, rows)
    return folder


def _index_row(url: str, data: bytes, kind: str, part: str, date: str) -> dict[str, object]:
    return {
        "url": url,
        "status": 200,
        "content_type": kind,
        "payload_digest": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "part": part,
        "fetched_at": date,
        "depth": 0,
        "state": "new",
        "etag": "",
        "last_modified": "",
    }


def _add_to_index(folder: Path, rows: list[dict[str, object]]) -> None:
    path = folder / "index.parquet"
    before = pq.read_table(path).to_pylist() if path.exists() else []
    pq.write_table(pa.Table.from_pylist(before + rows, schema=INDEX), path)
