"""The rows of a user's own file, packed or not, read as its ending says."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from llm.corpus.archive.endings import inner_name
from llm.corpus.archive.packed import BROKEN, lines, unpacked
from llm.corpus.rows.arrow_files import ENDINGS, arrow_rows
from llm.corpus.rows.json_lines import LINE_BYTES, BadRow, json_lines, parse
from llm.corpus.rows.parquet import parquet_rows
from llm.corpus.rows.tables import table_rows
from llm.corpus.rows.units import unit
from llm.step import BadInput

JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")
TABLES = (".csv", ".tsv")

# Files whose rows are told by their number, as they have no lines or many lines a row.
# A file that is one value is held whole; so large it may be (bytes).
_JSON_BYTES = 256_000_000
_TOLD_ROWS = 256


def numbered_rows(
    path: Path, read: Callable[[int], None] = lambda done: None, header: bool = True
) -> Iterator[tuple[int, Any | BadRow]]:
    """The rows of a file by line or item.

    Of JSON lines, JSON, Parquet, Arrow, CSV and TSV they are values; of other files the lines of their text.
    header: whether the first line of a table names its columns; where it does not, every file is a
    table (see `tables.table_rows`).
    read: told now and then how far the file was read (bytes). Raises BadInput for a file that cannot
    be read.
    """
    last = 0
    try:
        with path.open("rb") as raw:
            rows = (
                _numbered(raw, path.name, inner_name(path.name))
                if header
                else table_rows(raw, path.name, LINE_BYTES, header=False)
            )
            for count, row in enumerate(rows):
                if count % _TOLD_ROWS == 0:
                    read(raw.tell())
                last = row[0]
                yield row
    except (*BROKEN, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        said = f"not UTF-8: {error.reason}" if isinstance(error, UnicodeDecodeError) else error
        where = f" after {unit(path)} {last}" if last else ""
        raise BadInput(
            f"{path} cannot be read{where} ({said}): correct the file or its ending"
        ) from error


def _numbered(raw: BinaryIO, name: str, inner: str) -> Iterator[tuple[int, Any]]:
    if inner.endswith(".parquet"):
        yield from enumerate(parquet_rows(raw), start=1)
    elif inner.endswith(ENDINGS):
        yield from enumerate(arrow_rows(raw), start=1)
    elif inner.endswith(JSON_LINES):
        yield from json_lines(raw, name, LINE_BYTES)
    elif inner.endswith(".json"):
        yield from _json(raw, name)
    elif inner.endswith(TABLES):
        yield from table_rows(raw, name, LINE_BYTES)
    else:
        for number, line in enumerate(lines(raw, name, LINE_BYTES), start=1):
            if line is None:
                yield number, BadRow("too_large", f"over {LINE_BYTES} bytes")
            elif line.strip():
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")


def _json(raw: BinaryIO, name: str) -> Iterator[tuple[int, Any]]:
    """The items of a list, or one value; often enough such a file has JSON lines after all."""
    data = unpacked(raw, name).read(_JSON_BYTES + 1)
    if len(data) > _JSON_BYTES:
        raise OSError(f"over {_JSON_BYTES} bytes of JSON in one value: make lines of it")
    try:
        found = parse(data)
    except BadRow as error:
        if not data.lstrip().startswith(b"{") or b"\n" not in data.strip():
            raise OSError(error.details) from None
        yield from json_lines(io.BytesIO(data), inner_name(name), LINE_BYTES)
        return
    yield from enumerate(found if isinstance(found, list) else [found], start=1)
