"""Rows of Parquet files, one at a time: a small file can hold a large table.

A text that every row repeats is stored once (dictionaries), or as what it adds to the row before
(delta encoding): a batch of rows may take a thousand times what the file does.
"""

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from llm.corpus.archive import packed
from llm.corpus.archive.packed import Bomb
from llm.corpus.rows.arrow_files import class_names, rows_of
from llm.corpus.rows.json_lines import BadRow

LIBRARIES = ("pyarrow",)

_BATCH = 500
# A column chunk larger than this may not be more than this many times as large as the file says.
_FREE_BYTES = 1 << 26
# Where each row may be as large as the whole column chunk.
_SMALL_BATCH = 8


def column_names(file: pq.ParquetFile) -> list[str]:
    """The names of the columns at the top."""
    return list(file.schema_arrow.names)


def parquet_rows(raw: BinaryIO, wanted: Collection[str] | None = None) -> Iterator[Any | BadRow]:
    """The rows as mappings of the wanted columns (of those that are there; None: all).

    A row that Python cannot hold comes as BadRow. Raises pyarrow's errors for a file that is
    damaged, Bomb for one that is larger unpacked than any text could be.
    """
    with pq.ParquetFile(raw) as probe:
        columns = [name for name in column_names(probe) if wanted is None or name in wanted]
        repeated, size = _checked(probe.metadata, columns)
    raw.seek(0)
    with pq.ParquetFile(raw, read_dictionary=repeated, pre_buffer=False) as file:
        names = class_names(file.schema_arrow)
        for batch in file.iter_batches(batch_size=size, columns=columns):
            yield from rows_of(batch, names)


def _checked(metadata: Any, columns: Collection[str]) -> tuple[list[str], int]:
    """Paths of what can be read as dictionaries, and how many rows at a time. Raises Bomb."""
    repeated: dict[str, bool] = {}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            path = chunk.path_in_schema
            if not any(path == name or path.startswith(f"{name}.") for name in columns):
                continue
            inner, outer = chunk.total_uncompressed_size, chunk.total_compressed_size
            if inner > _FREE_BYTES and inner > packed.MAX_RATIO * max(1, outer):
                raise Bomb(f"bomb: a column has {inner} bytes in {outer}: unpack it yourself")
            if chunk.physical_type == "BYTE_ARRAY":
                # Nor can Arrow read dictionaries inside of structures and lists.
                plain = path in columns and "DELTA_BYTE_ARRAY" not in chunk.encodings
                repeated[path] = plain and repeated.get(path, True)
    size = _BATCH if all(repeated.values()) else _SMALL_BATCH
    return [path for path, plain in repeated.items() if plain], size
