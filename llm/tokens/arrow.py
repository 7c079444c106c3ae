"""Numbers and texts as Arrow columns, and back, without a copy and without pandas.

`pyarrow.array` and `to_numpy` import pandas at their first use in a process, if it is installed: some
0.3 s, as long as it takes to encode a shard.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def numbers(values: np.ndarray) -> pa.Array:
    """An array of numbers (N,) as a column, which shares its memory."""
    values = np.ascontiguousarray(values)
    data = pa.py_buffer(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])


def values(column: pa.Array) -> np.ndarray:
    """A column of numbers as a read-only array (N,). Raises an Arrow error where one is null."""
    return np.from_dlpack(column)


def texts(strings: Sequence[str]) -> pa.LargeStringArray:
    """Strings as a column of text."""
    encoded = [string.encode() for string in strings]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    data = pa.py_buffer(b"".join(encoded))
    return pa.LargeStringArray.from_buffers(len(encoded), pa.py_buffer(offsets), data)


def text_bytes(column: pa.LargeStringArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """UTF-8 bytes of each text (N,)."""
    offsets = column.buffers()[1]
    if not len(column) or offsets is None:
        return np.zeros(len(column), np.int64)
    starts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    return np.diff(starts)
