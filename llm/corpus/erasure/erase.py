"""Taking documents out of files that stay: WARC, Parquet and SQLite, each rewritten without them.

What is left keeps its place: the other records of a WARC file their offsets, the other rows of
tables their neighbours, so that nothing made from them has to be made again.
"""

import gzip
import json
import sqlite3
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.documents import GROUP_ROWS
from llm.corpus.erasure.exclusions import Exclusions
from llm.durable import replacing

# Columns of text that say nothing of what a document holds; of an erased one they stay.
PLAIN = {"source", "language", "reason", "kind", "engine", "fetched_at", "warc_file", "opt_out"}

# Headers of a WARC record that name the page it belongs to.
_NAMES = (b"warc-target-uri", b"warc-refers-to-target-uri")


def erase_records(path: Path, target: Path, covered: Exclusions) -> int:
    """Copy a WARC file (one gzip member a record) without the records of covered addresses.

    In the place of each is one of type `metadata` that says so, of the same length, so that every
    other record stays at its offset. Returns how many are erased; with none, nothing is written.
    """
    if not any(_is_covered(record, covered) for _, record in _members(path)):
        return 0
    erased = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside, aside.open("wb") as stream:
        for packed, record in _members(path):
            if _is_covered(record, covered):
                packed = _stand_in(len(packed), erased)
                erased += 1
            stream.write(packed)
    return erased


def _members(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The members of a gzip file: as they stand, and unpacked."""
    with path.open("rb") as stream:
        rest = stream.read(1 << 20)
        while rest:
            unpack = zlib.decompressobj(wbits=31)
            packed, pieces = [], []
            while rest and not unpack.eof:
                pieces.append(unpack.decompress(rest))
                packed.append(rest[: len(rest) - len(unpack.unused_data)])
                rest = unpack.unused_data or stream.read(1 << 20)
            yield b"".join(packed), b"".join(pieces)


def _is_covered(record: bytes, covered: Exclusions) -> bool:
    head = record[: record.find(b"\r\n\r\n")]
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in _NAMES:
            address = value.strip().strip(b"<>").decode("utf-8", "replace")
            if covered.covers(address):
                return True
    return False


def _stand_in(length: int, number: int) -> bytes:
    """A gzip member of `length` bytes (RFC 1952, padded in its comment) with an empty record."""
    record = (
        "WARC/1.1\r\nWARC-Type: metadata\r\n"
        f"WARC-Record-ID: <urn:uuid:{uuid.UUID(int=number)}>\r\n"
        "WARC-Date: 1970-01-01T00:00:00Z\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
    )
    packed = gzip.compress(record.encode(), compresslevel=9, mtime=0)
    room = length - len(packed) - 1
    if room < 0:
        return packed
    flags = 1 << 4  # a comment follows, ended by a zero byte
    return packed[:3] + bytes([flags]) + packed[4:10] + b" " * room + b"\0" + packed[10:]


def erase_rows(
    path: Path,
    target: Path,
    covered: Exclusions,
    ids: pa.Array,
    *,
    drop: bool = False,
    tells: Callable[[bytes], bool] | None = None,
) -> int:
    """Copy a Parquet file without what it says of covered addresses or of documents by these ids.

    A row that has a doc_id stays, with that alone, its numbers and its plain words: tables of one
    shard go on having the same rows. `drop`, and where there is no doc_id: the row goes. tells:
    whether a `body` (a feed, a sitemap) names or quotes one of the pages; then its row goes, and the
    next crawl fetches it again. Returns how many rows are erased; with none, nothing is written.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        texts = [
            number
            for number, field in enumerate(schema)
            if _is_text(field.type) and field.name not in PLAIN
        ]
        has_id = "doc_id" in schema.names and schema.field("doc_id").type == ids.type
        if not has_id and "url" not in schema.names:
            return 0
        blank = has_id and not drop
        if blank and not texts:
            return 0
        gone = _rows_of(file, covered, ids if has_id else None, tells)
        if not gone.any():
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        start = erased = 0
        with (
            replacing(target) as aside,
            pq.ParquetWriter(aside, schema, compression="zstd") as writer,
        ):
            for batch in file.iter_batches(batch_size=GROUP_ROWS):
                rows = gone[start : start + batch.num_rows]
                start += batch.num_rows
                table = pa.Table.from_batches([batch], schema)
                if blank:
                    already = _all_blank(table, texts)
                    table = _blanked(table, texts, rows)
                    erased += int((rows & ~already).sum())
                else:
                    table = table.filter(pa.array(~rows))
                    erased += int(rows.sum())
                writer.write_table(table, row_group_size=GROUP_ROWS)
    if not erased:
        target.unlink()
    return erased


def _rows_of(
    file: pq.ParquetFile,
    covered: Exclusions,
    ids: pa.Array | None,
    tells: Callable[[bytes], bool] | None,
) -> np.ndarray:
    """Which rows of a file are of covered addresses or of documents by these ids: (rows,) bool."""
    names = file.schema_arrow.names
    keys = file.read(columns=[name for name in ("doc_id", "url") if name in names])
    found = np.zeros(keys.num_rows, bool)
    if ids is not None:
        found |= pc.is_in(keys["doc_id"], value_set=ids).to_numpy()
    if "url" in names:
        found |= covered.among(keys["url"])
    if ids is None and "reason" in names:
        # A failure's reason may name another address: where it was redirected to, a trap.
        reasons = file.read(columns=["reason"])["reason"]
        found |= pc.is_in(reasons, value_set=_naming(reasons, covered)).to_numpy()
    if tells is not None and "body" in names:
        bodies = file.read(columns=["body"])["body"]
        found |= np.fromiter((tells(one.as_py() or b"") for one in bodies), bool, len(bodies))
    return found


def _naming(texts: pa.ChunkedArray, covered: Exclusions) -> pa.Array:
    """Which of these texts name a covered address or host."""
    found = [one for one in pc.unique(texts).to_pylist() if one and covered.covers_some(one)]
    return pa.array(found, texts.type)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_struct,
        )
    )


def _blanked(table: pa.Table, columns: list[int], rows: np.ndarray) -> pa.Table:
    """The table with these columns empty in these rows."""
    for number in columns:
        field = table.schema.field(number)
        empty = pa.scalar(None, field.type)
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            empty = pa.scalar("", field.type)
        column = pc.if_else(pa.array(rows), empty, table.column(number))
        table = table.set_column(number, field, column)
    return table


def _all_blank(table: pa.Table, columns: list[int]) -> np.ndarray:
    found = np.ones(table.num_rows, bool)
    for number in columns:
        column = table.column(number)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found &= (pc.binary_length(column).fill_null(0).to_numpy()) == 0
        else:
            found &= column.is_null().to_numpy()
    return found


def erase_examples(path: Path, target: Path, covered: Exclusions) -> int:
    """Copy an example shard (an Arrow stream with `url`) without the rows of covered addresses.

    Returns how many are erased; with none, nothing is written.
    """
    with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
        if "url" not in reader.schema.names:
            return 0
        batches = [(batch, covered.among(batch.column("url"))) for batch in reader]
        erased = sum(int(gone.sum()) for _, gone in batches)
        if not erased:
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(target) as aside,
            pa.OSFile(str(aside), "wb") as sink,
            pa.ipc.new_stream(sink, reader.schema) as writer,
        ):
            for batch, gone in batches:
                if not gone.all():
                    writer.write_batch(batch.filter(pa.array(~gone)))
    return erased


def has_lines(path: Path, covered: Exclusions) -> bool:
    """Whether a file of JSON lines has one whose `url` is covered."""
    return any(_is_line_of(line, covered) for line in _lines(path))


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def _is_line_of(line: bytes, covered: Exclusions) -> bool:
    url = url_in(line)
    return bool(url) and covered.covers(url)


def url_in(line: bytes) -> str:
    """The `url` of a JSON line; "" where it has none."""
    try:
        row = json.loads(line)
    except ValueError:
        return ""
    url = row.get("url") if isinstance(row, dict) else None
    return url if isinstance(url, str) else ""


def erase_entries(
    path: Path, covered: Exclusions, tells: Callable[[bytes], bool] = lambda body: False
) -> int:
    """Delete from a SQLite file, in place, what it says of covered addresses; no byte of it is left.

    That is every row whose `url` is covered, or the site (`origin`), the shape of addresses
    (`pattern`) or the target of a redirect (`reason`) that it names; and what was fetched that is no
    page (a feed, a sitemap) where it tells of one.
    """
    conditions = {
        "url": "covered(url)",
        "origin": "covered(origin)",
        "pattern": "covered_pattern(pattern)",
        "reason": "covered_web(reason)",
        "body": "tells(body)",
    }
    with _opened(path, covered, tells) as database:
        erased = 0
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
            wanted = [condition for name, condition in conditions.items() if name in columns]
            if table == "sitemaps" and "found" in columns:
                wanted.append("tells(found)")
            if wanted:
                query = f'DELETE FROM "{table}" WHERE {" OR ".join(wanted)}'
                erased += database.execute(query).rowcount
        if erased:
            database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return erased


class _opened:
    """A SQLite file in which deleted rows are overwritten, with the functions of `erase_entries`."""

    def __init__(self, path: Path, covered: Exclusions, tells: Callable[[bytes], bool]) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA secure_delete = ON")

        def body(value: str | bytes | None) -> bool:
            data = value.encode() if isinstance(value, str) else value
            return bool(data) and tells(data or b"")

        functions: dict[str, Callable[..., bool]] = {
            "covered": lambda url: bool(url) and covered.covers(url),
            "covered_web": lambda said: "://" in (said or "") and covered.covers(said),
            "covered_pattern": lambda one: bool(one) and covered.covers_pattern(one),
            "tells": body,
        }
        for name, function in functions.items():
            self._database.create_function(name, 1, function)

    def __enter__(self) -> sqlite3.Connection:
        return self._database

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._database.close()
