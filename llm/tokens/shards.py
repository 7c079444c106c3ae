"""Token shards: one Arrow IPC stream a file, one record batch, one row a document.

`datasets.Dataset.from_file` opens them with no code of ours; here they are memory-mapped and seen
as numpy arrays, without a copy: the values buffer of the `tokens` column is the token stream, its
offsets are the document boundaries.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.step import BadInput
from llm.tokens.arrow import numbers

Tokens = np.ndarray[Any, np.dtype[np.unsignedinteger[Any]]]
METADATA_KEY = b"penstock"


def token_type(vocabulary: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds ids below `vocabulary`: uint16 up to 65,536, else uint32."""
    return np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.uint32)


@dataclass(frozen=True)
class Shard:
    """A shard as zero-copy views: they stay valid as long as the shard is referred to.

    tokens: (tokens,) uint16 or uint32, read-only; document i is tokens[offsets[i]:offsets[i+1]].
    offsets: (documents + 1,) int64.
    documents: columns doc_id (16 bytes), source, bytes (UTF-8 bytes of the document's text).
    metadata: what the writer said of the shard: tokenizer digest, counts.
    """

    path: Path
    tokens: Tokens
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    documents: pa.RecordBatch
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Map the file; BadInput when it is not a token shard or was cut short."""
        try:
            reader = pa.ipc.open_stream(pa.memory_map(str(path)))
            batch = reader.read_next_batch()
            lists = batch.column("tokens")
            metadata = json.loads((reader.schema.metadata or {})[METADATA_KEY])
        except (pa.ArrowInvalid, StopIteration, KeyError, OSError) as error:
            raise BadInput(
                f"{path} is not a whole token shard ({error}): run the tokenize stage again"
            ) from error
        offsets = np.frombuffer(lists.buffers()[1], dtype=np.int64)[: len(batch) + 1]
        values = lists.values.to_numpy(zero_copy_only=True)
        return cls(
            path=path,
            tokens=values,
            offsets=offsets,
            documents=batch.drop_columns(["tokens"]),
            metadata=metadata,
        )

    def __len__(self) -> int:
        """Documents in the shard."""
        return len(self.offsets) - 1

    def document(self, index: int) -> Tokens:
        """The tokens of one document, with the end-of-text token that closes it."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class ShardColumns:
    """What a shard is written from: one entry a document, and the tokens of all in one row.

    doc_ids: 16 bytes each; sources: names; sizes: UTF-8 bytes; lengths: tokens; all (documents,).
    """

    doc_ids: Sequence[bytes] | pa.Array
    sources: Sequence[str] | pa.Array
    sizes: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]
    lengths: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]
    tokens: Tokens


def write_shard(path: Path, columns: ShardColumns, metadata: Mapping[str, Any]) -> None:
    """Write a shard; the same columns and metadata give the same bytes."""
    offsets = np.zeros(len(columns.lengths) + 1, dtype=np.int64)
    np.cumsum(columns.lengths, out=offsets[1:])
    if offsets[-1] != len(columns.tokens):
        raise ValueError(f"lengths add up to {offsets[-1]}, not {len(columns.tokens)} tokens")
    batch = pa.RecordBatch.from_arrays(
        [
            _column(columns.doc_ids, pa.binary(16)),
            _column(columns.sources, pa.string()),
            numbers(np.asarray(columns.sizes, np.int64)),
            pa.LargeListArray.from_arrays(numbers(offsets), numbers(columns.tokens)),
        ],
        names=["doc_id", "source", "bytes", "tokens"],
    )
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    schema = batch.schema.with_metadata({METADATA_KEY: text.encode()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def _column(values: Sequence[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)
