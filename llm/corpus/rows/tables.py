"""Rows of text tables (CSV, TSV), with fields as long as a book."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from llm.corpus.archive.endings import inner_name
from llm.corpus.archive.packed import lines
from llm.corpus.rows.json_lines import LINE_BYTES, BadRow


def table_rows(
    raw: BinaryIO, name: str, limit: int = LINE_BYTES, header: bool = True
) -> Iterator[tuple[int, dict[Any, Any] | BadRow]]:
    """The rows of a CSV or TSV file, packed or not, by the number of their last line.

    Every cell is text, as it stands there, by its column's name; without a header by its place, from 1.
    Without one, cells of a TSV file are whatever stands between tabs: a quotation mark is one more
    character. A file of another ending is read as TSV. Raises csv.Error with the line for what is not a
    table, UnicodeDecodeError for no UTF-8.
    """
    separator = "," if inner_name(name).endswith("csv") else "\t"
    # The library's limit holds for the process; a higher one set elsewhere stays.
    csv.field_size_limit(max(limit, csv.field_size_limit()))
    if not header:
        yield from _placed(raw, name, limit, separator)
        return
    reader = csv.DictReader(_decoded(raw, name, limit), delimiter=separator)
    try:
        for row in reader:
            if None in row:
                said = f"{len(row[None])} cells more than the header names"
                yield reader.line_num, BadRow("bad_table", said)
            else:
                yield reader.line_num, row
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error


def _placed(
    raw: BinaryIO, name: str, limit: int, separator: str
) -> Iterator[tuple[int, dict[int, str]]]:
    decoded = _decoded(raw, name, limit)
    if separator == ",":
        reader = csv.reader(decoded)
    else:
        reader = csv.reader(decoded, delimiter=separator, quoting=csv.QUOTE_NONE)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, dict(enumerate(cells, start=1))
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error


def _decoded(raw: BinaryIO, name: str, limit: int) -> Iterator[str]:
    for number, line in enumerate(lines(raw, name, limit)):
        if line is None:
            raise csv.Error(f"a line of over {limit} bytes")
        yield line.decode("utf-8-sig" if number == 0 else "utf-8")
