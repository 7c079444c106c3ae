"""The step that reads the user's own files: JSON lines, Parquet, tables, plain text, dumps of wikis."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from llm import located
from llm.corpus.archive.endings import inner_name
from llm.corpus.archive.packed import BROKEN, Bomb, unpacked
from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.archive.warc import write_pages
from llm.corpus.rows import arrow_files
from llm.corpus.rows.json_lines import BadRow, json_lines, whole
from llm.corpus.rows.parquet import parquet_rows
from llm.corpus.rows.tables import table_rows
from llm.corpus.sources.files_settings import FilesSource
from llm.corpus.sources.names import short_names
from llm.corpus.sources.progress import PieceStore
from llm.corpus.sources.wikipedia import NoDump, read_dump
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("pyarrow",)

JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")
TABLES = (".csv", ".tsv")
TEXT = (".txt", ".md", ".rst", ".text", ".markdown")
# Dumps come in parts: enwiki-latest-pages-articles1.xml-p1p41242.bz2.
DUMP = re.compile(r".*\.xml(-\w+)*")
READABLE = (*JSON_LINES, ".json", ".parquet", *arrow_files.ENDINGS, *TABLES, ".xml", *TEXT)

ARCHIVES = (".warc", ".arc", ".wet")

ARRAY = "; a file with one list of documents: make lines of it (jq -c '.[]' FILE > FILE.jsonl)"

# Rows that are written to the store in one go.
_BATCH = 500
_BATCH_BYTES = 64_000_000


@dataclass(frozen=True)
class Row:
    """One row or file as it was read: its place, and the text or what is wrong with it.

    date: when it was written (ISO 8601), "" where that is not known. skipped: why it is not a document
    and no failure either, such as "redirect".
    """

    place: str
    text: bytes = b""
    url: str = ""
    problem: str = ""
    date: str = ""
    skipped: str = ""


def expand(pattern: str) -> list[Path]:
    """The files that a path, a folder or a pattern (`*`, `**`, `?`) means, sorted.

    Of a folder, every file below it whose ending is known. Raises BadInput when there is none, for
    one that may not be read, and for a link that leads out of the folder.
    """
    path = Path(pattern).expanduser()
    root = path
    while any(sign in str(root) for sign in "*?["):
        root = root.parent
    if path.is_dir():
        found = [item for item in path.rglob("*") if item.is_file() and _is_known(item)]
    else:
        found = [item for item in located.found(pattern) if item.is_file()]
    if not found:
        raise BadInput(f"no file matches {located.where(pattern)}: correct the path")
    inside = root.resolve()
    for one in found:
        if one != root and not one.resolve().is_relative_to(inside):
            raise BadInput(
                f"{str(one)!r} leads to {str(one.resolve())!r}, out of {str(root)!r}: name that file in "
                "`path` by itself, or copy it into the folder"
            )
    closed = [str(path) for path in found if not os.access(path, os.R_OK)]
    if closed:
        raise BadInput(f"{closed[0]!r} cannot be read: change its permissions, or leave it out")
    return sorted(found)


def read(values: FilesSource, inputs: Inputs, context: Context) -> StepResult:
    """Read `inputs["files"]` into WARC shards of conversion records, one a document.

    What cannot be read is counted in failures.parquet with file, row and reason; raises BadInput
    only when nothing can.
    """
    paths = list(inputs["files"])
    skipped: Counter[str] = Counter()
    store = PieceStore.fresh(context.work / "files.sqlite", context.machine.takedown)
    try:
        total = sum(path.stat().st_size for path in paths)
        done = 0
        for path, name in zip(paths, short_names(paths), strict=True):
            try:
                raw = path.open("rb")
            except OSError as error:
                store.fail(file_url(name), f"unreadable: {error.strerror}")
                continue
            with raw:
                for batch in _batches(_rows(raw, name, values)):
                    skipped.update(row.skipped for row in batch if row.skipped)
                    _store(store, batch)
                    context.report.progress(done + raw.tell(), total, "bytes")
            done += path.stat().st_size
        if not store.totals()[0]:
            reasons = "; ".join(f"{url}: {reason}" for url, reason in store.failures()[:3])
            raise BadInput(
                f"no document in {located.written(values.path)!r} can be read. {reasons}"
            )
        return write_pages(store, context, values.shard_bytes, {"files": len(paths), **skipped})
    finally:
        store.close()


def _is_known(path: Path) -> bool:
    inner = inner_name(path.name)
    return inner.endswith((*READABLE, *ARCHIVES)) or DUMP.fullmatch(inner) is not None


def _rows(raw: BinaryIO, name: str, values: FilesSource) -> Iterator[Row]:
    """The rows of a file; its last one says what broke it off, if something did."""
    inner = inner_name(name)
    try:
        if inner.endswith(TABLES) or isinstance(values.text, int):
            yield from _table_rows(raw, name, values)
        elif inner.endswith(".parquet") and inner == name.lower():
            yield from _parquet_rows(raw, name, values)
        elif inner.endswith(arrow_files.ENDINGS):
            for number, row in enumerate(arrow_files.arrow_rows(raw), start=1):
                yield _row_or_problem(row, name, number, values)
        elif inner.endswith((*JSON_LINES, ".json")):
            yield from _json_rows(raw, name, values)
        elif DUMP.fullmatch(inner):
            yield from _wiki_rows(unpacked(raw, name), name, values)
        elif inner.endswith(TEXT):
            yield _text_row(unpacked(raw, name), name, values)
        else:
            known = " ".join(READABLE)
            yield Row(name, problem=f"unknown_format: the ending is none of {known}")
    except Bomb as error:
        yield Row(name, problem=str(error))
    except (*BROKEN, NoDump) as error:
        yield Row(name, problem=f"damaged: {error}")
    except UnicodeDecodeError:
        yield Row(name, problem="damaged: not UTF-8")
    except csv.Error as error:
        yield Row(name, problem=f"bad_table: {error}")
    except pa.ArrowException as error:
        yield Row(name, problem=f"damaged: {str(error).splitlines()[0]}")


def _json_rows(raw: BinaryIO, name: str, values: FilesSource) -> Iterator[Row]:
    for number, row in json_lines(raw, name, values.max_document_bytes):
        place = f"{name}#{number}"
        if isinstance(row, BadRow):
            whole_list = number == 1 and row.is_list
            yield Row(place, problem=f"{row}{ARRAY if whole_list else ''}")
            if whole_list and inner_name(name).endswith(".json"):
                return
        elif number == 1 and isinstance(row, list):
            yield Row(place, problem=f"bad_json: the line is a list{ARRAY}")
        else:
            yield _row(row, name, number, values)


def _table_rows(raw: BinaryIO, name: str, values: FilesSource) -> Iterator[Row]:
    header = isinstance(values.text, str)
    for number, row in table_rows(raw, name, values.max_document_bytes, header):
        yield _row_or_problem(row, name, number, values)


def _wiki_rows(stream: BinaryIO, name: str, values: FilesSource) -> Iterator[Row]:
    limit = values.max_document_bytes
    for page in read_dump(stream, values.namespaces, limit):
        place = f"{name}#{page.number}"
        if page.skipped:
            yield Row(place, url=page.url, skipped=page.skipped)
        elif page.text is None:
            yield Row(place, problem=f"too_large: over {limit} bytes: {page.url}")
        elif not page.text.strip():
            yield Row(place, problem=f"empty: the page has no text: {page.url}")
        else:
            yield Row(place, whole(page.text).encode(), page.url, date=page.date)


def _parquet_rows(raw: BinaryIO, name: str, values: FilesSource) -> Iterator[Row]:
    with pq.ParquetFile(raw) as file:
        text = str(values.text)
        fields = [field for field in (text, values.url, values.id) if field]
        wanted = {*fields, *(field.split(".")[0] for field in fields)}
        names = file.schema_arrow.names
        if text not in names and text.split(".")[0] not in names:
            there = ", ".join(names)
            yield Row(name, problem=f"no_text: no column {values.text!r}; there are: {there}")
            return
    raw.seek(0)
    for number, row in enumerate(parquet_rows(raw, wanted), start=1):
        yield _row_or_problem(row, name, number, values)


def _text_row(stream: BinaryIO, name: str, values: FilesSource) -> Row:
    data = stream.read(values.max_document_bytes + 1)
    if len(data) > values.max_document_bytes:
        return Row(name, problem=f"too_large: over {values.max_document_bytes} bytes")
    if not data.strip():
        return Row(name, problem="empty: the file has no text")
    return Row(name, data, file_url(name))


def _row_or_problem(row: Any, name: str, number: int, values: FilesSource) -> Row:
    if isinstance(row, BadRow):
        return Row(f"{name}#{number}", problem=str(row))
    return _row(row, name, number, values)


def _row(row: Any, name: str, number: int, values: FilesSource) -> Row:
    """A row by the field names of the recipe."""
    place = f"{name}#{number}"
    if not isinstance(row, Mapping):
        return Row(place, problem=f"no_text: the row is not an object but {type(row).__name__}")
    text = field_of(row, values.text)
    if not isinstance(text, str):
        said = f"is {type(text).__name__}" if text is not None else "is missing"
        there = ", ".join(str(key) for key in row)
        return Row(place, problem=f"no_text: field {values.text!r} {said}; there are: {there}")
    if not text.strip():
        return Row(place, problem=f"empty: field {values.text!r} has no text")
    data = whole(text).encode()
    if len(data) > values.max_document_bytes:
        return Row(place, problem=f"too_large: over {values.max_document_bytes} bytes")
    url = field_of(row, values.url) if values.url else None
    if isinstance(url, str) and url.strip():
        address = web_address(url)
    else:
        identity = field_of(row, values.id) if values.id else None
        address = file_url(f"{name}#{number if identity is None else identity}")
    return Row(place, data, address)


def field_of(row: Mapping[Any, Any], name: str | int) -> Any:
    """What a row holds under a name, dots leading into nested ones; None: nothing."""
    if name in row:
        return row[name]
    if isinstance(name, int):
        return None
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def file_url(place: str) -> str:
    """An address for what has none of its own."""
    return "file:///" + quote(place, safe="/#:@!$&'()*+,;=~-._", errors="replace")


def web_address(url: str) -> str:
    """An address of the user's own data with what no address may hold percent-encoded."""
    return quote(url.strip(), safe="/%:?#[]@!$&'()*+,;=~-._", errors="replace")


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch, size = list[Row](), 0
    for row in rows:
        batch.append(row)
        size += len(row.text)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _store(store: PageStore, rows: list[Row]) -> None:
    with store.transaction():
        for row in rows:
            if row.problem:
                store.fail(file_url(row.place), row.problem)
            elif not row.skipped:
                page = Page(
                    row.url,
                    row.text,
                    kind="conversion",
                    content_type="text/plain",
                    fetched_at=row.date or Page.fetched_at,
                    position=row.place,
                )
                store.add(page)
