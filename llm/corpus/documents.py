"""Documents on disk: table schemas, Parquet in and out, identities, digests and the validation split.

Every table of a shard has one row a document and is sorted by `doc_id`, so that tables are joined
by identity and equal content gives equal files.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.step import BadInput, digest_of

DOC_ID = pa.binary(16)

# Text before cleaning, one row a page that had text. licence: an address or a name as the page gives
# it, "" where it gives none; opt_out: what the page asks of crawlers, words apart by spaces ("noai").
EXTRACTED = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("url", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("licence", pa.string()),
        ("opt_out", pa.string()),
        ("text", pa.large_string()),
    ]
)

# Text after cleaning: what tokenizers, training and evaluation read.
DOCUMENTS = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("url", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("licence", pa.string()),
        ("opt_out", pa.string()),
        ("split_key", pa.uint64()),
        ("text", pa.large_string()),
    ]
)

# Where a document came from. Outside every content digest: dates and offsets change each night.
# position: the place in the user's own file or archive that it was read from ("pages.jsonl#12").
SIDECAR = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("fetched_at", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("position", pa.string()),
        ("engine", pa.string()),
    ]
)

# Pages that gave no document, and why.
DROPPED = pa.schema(
    [("doc_id", DOC_ID), ("url", pa.string()), ("bytes", pa.int64()), ("reason", pa.string())]
)

# What each document repeats: kind is exact, near or none; `of` is the cluster's representative.
CLUSTERS = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("cluster", DOC_ID),
        ("kind", pa.string()),
        ("similarity", pa.float64()),
        ("of", DOC_ID),
    ]
)

# Verified pairs inside clusters: a document may be in several.
PAIRS = pa.schema([("doc_id", DOC_ID), ("of", DOC_ID), ("similarity", pa.float64())])

# What became of each document: `reason` is "kept" or why it was dropped.
DECISIONS = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("url", pa.string()),
        ("source", pa.string()),
        ("bytes", pa.int64()),
        ("reason", pa.string()),
        ("duplicate_of", DOC_ID),
        ("split_key", pa.uint64()),
    ]
)

# Rows of a Parquet row group: small enough that one of them in memory never matters.
GROUP_ROWS = 2048


def document_id(source: str, url: str, payload: str | bytes) -> bytes:
    """The 16 bytes that name a document: BLAKE2b over source, URL and text (or a page's bytes)."""
    return bytes.fromhex(digest_of([source, url, payload]))[:16]


def hash64(url: str) -> int:
    """A uniform 64-bit number (0 to 2^64 - 1) from a URL: the same on every machine."""
    return int.from_bytes(hashlib.blake2b(url.encode(), digest_size=8).digest(), "little")


def validation(split_key: int, fraction: float) -> bool:
    """Whether a document is held out: `split_key` lies in the lowest `fraction` of 0 to 2^64."""
    return split_key < int(fraction * 2**64)


def validation_mask(split_keys: np.ndarray, fraction: float) -> np.ndarray:
    """`validation` for an array of uint64 keys (N,) → bool (N,)."""
    limit = int(fraction * 2**64)
    if limit > 2**64 - 1:
        return np.ones(len(split_keys), dtype=bool)
    return np.asarray(split_keys, dtype=np.uint64) < np.uint64(limit)


def identities(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A doc_id column as an array (N,) of 16-byte strings, which sorts and compares as bytes do.

    Nulls become zeros. Take single ids out with `tobytes`: numpy drops zeros at their end.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [np.zeros(0, "S16")]
    for chunk in chunks:
        values = chunk.fill_null(b"\0" * 16) if chunk.null_count else chunk
        data = values.buffers()[1]
        if data is not None and len(values):
            parts.append(np.frombuffer(data, "S16")[values.offset : values.offset + len(values)])
    return np.concatenate(parts)


def identity_column(ids: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """The inverse of `identities`; `valid` (N,) bool says which are not null."""
    data = pa.py_buffer(np.ascontiguousarray(ids, "S16").tobytes())
    mask = None if valid is None else pa.array(valid).buffers()[1]
    return pa.FixedSizeBinaryArray.from_buffers(DOC_ID, len(ids), [mask, data])


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table with a `doc_id` column as Parquet (zstd), sorted by it.

    Raises ValueError where a doc_id comes twice: every document is in a table once.
    """
    write_rows(path, by_identity(table))


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a table's rows as they stand as Parquet (zstd).

    Not synced: a step's files are when the whole artifact is committed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=GROUP_ROWS)


def by_identity(table: pa.Table) -> pa.Table:
    """The rows sorted by doc_id. Raises ValueError where one comes twice."""
    ids = identities(table["doc_id"])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        name = twice[:1].tobytes().hex()
        times = np.count_nonzero(ids == twice[0])
        more = len(np.unique(twice)) - 1
        others = f" (and {more} others more than once)" if more else ""
        raise ValueError(f"document {name} comes {times} times in one table{others}")
    return table.take(pa.array(order))


def read_table(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole table (or some columns of it), checked against `schema`.

    Raises BadInput where the file is no Parquet or has other columns.
    """
    with open_table(path, schema) as file:
        return file.read(columns=list(columns or schema.names))


def batches(
    folders: Iterable[Path],
    columns: Sequence[str],
    schema: pa.Schema = DOCUMENTS,
    name: str = "documents.parquet",
) -> Iterator[pa.RecordBatch]:
    """The rows of `name` in each folder, in order, some thousand at a time: memory stays flat."""
    for folder in folders:
        with open_table(folder / name, schema) as file:
            yield from file.iter_batches(batch_size=GROUP_ROWS, columns=list(columns))


def open_table(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a Parquet file, mapped into memory, after checking that it has the columns of `schema`."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
    except pa.ArrowInvalid as error:
        raise BadInput(
            f"{path} is not a Parquet file ({error}); make that artifact again"
        ) from error
    found = {field.name: field.type for field in file.schema_arrow}
    for field in schema:
        if found.get(field.name) != field.type:
            file.close()
            raise BadInput(
                f"{path}: column {field.name!r} is {found.get(field.name, 'missing')}, "
                f"expected {field.type}; make that artifact again"
            )
    return file


def content_digest(*tables: pa.Table) -> str:
    """Hex digest over tables' rows: column names, types and values, whatever the chunking.

    Sort first (`by_identity`): the order of rows counts.
    """
    return digest_of(part for table in tables for part in _column_digests(table))


def _column_digests(table: pa.Table) -> Iterator[bytes]:
    for field, column in zip(table.schema, table.columns, strict=True):
        state = hashlib.blake2b(f"{field.name}:{field.type}:{len(column)}".encode())
        for array in _plain_arrays(column):
            state.update(np.ascontiguousarray(array).view(np.uint8).data)
        yield state.digest()


def _plain_arrays(column: pa.ChunkedArray) -> Iterator[np.ndarray]:
    """A column as plain arrays: nulls first, then lengths, then values, chunks joined."""
    if column.null_count:
        yield from (chunk.is_null().to_numpy(zero_copy_only=False) for chunk in column.chunks)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        chunks = [chunk.cast(pa.large_binary()) for chunk in column.chunks]
    elif pa.types.is_fixed_size_binary(kind):
        chunks = [chunk.cast(pa.binary()).cast(pa.large_binary()) for chunk in column.chunks]
    else:
        zero = pa.scalar(0, pa.int8()).cast(kind)
        for chunk in column.chunks:
            yield chunk.fill_null(zero).to_numpy(zero_copy_only=False)
        return
    filled = [chunk.fill_null(b"") for chunk in chunks]
    for chunk in filled:
        yield np.diff(_offsets(chunk))
    for chunk in filled:
        offsets = _offsets(chunk)
        values = chunk.buffers()[2]
        if values is not None:
            yield np.frombuffer(values, np.uint8)[offsets[0] : offsets[-1]]


def _offsets(chunk: pa.Array) -> np.ndarray:
    """Where each value of a large_binary array starts and ends in its values buffer (N + 1,)."""
    offsets = chunk.buffers()[1]
    if offsets is None:
        return np.zeros(1, np.int64)
    return np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
