"""Looking for pieces of text in any file of a store, also packed ones and tables."""

import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tasks.commands.quotes import LONGEST, Quotes

ZSTD, GZIP, SQLITE = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"SQLite format 3\x00"
CHUNK = 1 << 22

# Words in a row, of letters that every encoding writes alike and nothing escapes.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.]{22,78}[A-Za-z0-9]")
# The same of any script, its marks and punctuation included, but not what programs put otherwise:
# control characters, other ASCII signs, spaces and quotation marks of all kinds.
_OUT = r"\x00-\x1f!-+\-/:-@\[-`{-\xbf\u2000-\u206f\u3000\ud800-\udfff\ufeff"
_ANY = re.compile(rf"[^ ,.{_OUT}][^{_OUT}]{{6,78}}[^ ,.{_OUT}]")
_LEAST_BYTES = 24


def pieces(text: str, count: int) -> list[bytes]:
    """Stretches of a text that would be found wherever it is quoted, longest first, up to `count`.

    Those of other letters than ASCII's come twice, in UTF-8 and as JSON escapes them.
    """
    found = _longest(_PLAIN, text)[:count]
    if len(found) < count:
        wide = [one for one in _longest(_ANY, text) if not one.isascii()]
        found += wide[: count - len(found)]
    forms = (dict.fromkeys((one, json.dumps(one)[1:-1])) for one in found)
    return [form.encode() for both in forms for form in both]


def _longest(pattern: re.Pattern[str], text: str) -> list[str]:
    found = {match[0] for match in pattern.finditer(text)}
    long = (one for one in found if len(one.encode()) >= _LEAST_BYTES)
    return sorted(long, key=lambda one: (-len(one), one))


def holds(path: Path, wanted: Quotes | Sequence[bytes]) -> bool:
    """Whether a file has one of these pieces in it: as it stands, unpacked, or in a table."""
    quotes = wanted if isinstance(wanted, Quotes) else Quotes.of(wanted)
    if not len(quotes):
        return False
    tail = b""
    for piece in _contents(path):
        if quotes.within(tail + piece):
            return True
        tail = piece[-LONGEST:]
    return False


def _contents(path: Path) -> Iterator[bytes]:
    """What is in a file, piece by piece: its bytes, and what they hold if it is packed or a table."""
    with path.open("rb") as stream:
        head = stream.read(16)
        stream.seek(0)
        while data := stream.read(CHUNK):
            yield data
    try:
        if head.startswith(GZIP):
            with gzip.open(path) as unpacked:
                while data := unpacked.read(CHUNK):
                    yield data
        elif head.startswith(ZSTD):
            with path.open("rb") as stream:
                reader = zstandard.ZstdDecompressor(max_window_size=2**31)
                with reader.stream_reader(stream, read_across_frames=True) as unpacked:
                    while data := unpacked.read(CHUNK):
                        yield data
        elif head.startswith(b"PAR1"):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=2048):
                    yield from _columns(batch)
        elif head.startswith(SQLITE):
            yield from _database(path)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError, pa.ArrowException, sqlite3.Error):
        # Damaged or half written: its bytes have been looked at as they stand.
        return


def _columns(batch: pa.RecordBatch) -> Iterator[bytes]:
    for column in batch.columns:
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = column.flatten()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield "\n".join(value for value in column.to_pylist() if value).encode()
        elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            for value in column.to_pylist():
                yield from unpacked(value)


def _database(path: Path) -> Iterator[bytes]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    yield from unpacked(value.encode() if isinstance(value, str) else value)
    finally:
        database.close()


def unpacked(value: object) -> Iterator[bytes]:
    """A value in a table, and what is in it where it is packed."""
    if not isinstance(value, bytes):
        return
    yield value
    if value.startswith(ZSTD):
        yield zstandard.ZstdDecompressor().decompressobj().decompress(value)
    elif value.startswith(GZIP):
        yield gzip.decompress(value)
