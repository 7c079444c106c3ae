"""Documents become token shards: one for training, one for validation, split by `split_key`."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus import documents
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens import arrow
from llm.tokens.encoders import CheckedEncoder, Prepared, prepare
from llm.tokens.shards import ShardColumns, Tokens, token_type, write_shard
from llm.tokens.special import END_OF_TEXT, special_ids
from llm.tokens.tokenize_settings import TokenizeSettings

LIBRARIES = ("tokenizers",)

SPLITS = ("train", "validation")
# Text that is encoded at once, at least, and rows that are read at once: enough to keep threads busy,
# and so little that memory is used again; new memory costs as much time as reading does.
CHUNK_BYTES = 1_000_000
READ_ROWS = 512
READ_AHEAD = 8  # chunks that are read while a tokenizer is loaded, or the chunks before are encoded
COLUMNS = ("doc_id", "source", "split_key", "text")


@dataclass(frozen=True)
class _Columns(ShardColumns):
    """Columns that are arrays, of some of a split's rows or of all."""

    doc_ids: pa.Array
    sources: pa.Array
    sizes: np.ndarray[Any, np.dtype[np.int64]]
    lengths: np.ndarray[Any, np.dtype[np.int64]]


def tokenize(values: TokenizeSettings, inputs: Inputs, context: Context) -> StepResult:
    """Encode one shard of documents into `train.arrow` and `validation.arrow`.

    Each document ends with <|endoftext|>; a split with no document is a shard of no rows. The ids
    are those of Hugging Face's tokenizers, whichever encoder gave them: the counts say which.
    Raises BadInput for a tokenizer that cannot be read or has no such token.
    """
    [folder], [tokenizer_folder] = inputs["documents"], inputs["tokenizer"]
    splits: dict[str, list[_Columns]] = {name: [] for name in SPLITS}
    with (
        documents.open_table(folder / "documents.parquet", documents.DOCUMENTS) as table,
        ThreadPoolExecutor(1) as reader,
    ):
        chunks = _chunks(table)
        reading = deque(reader.submit(next, chunks, None) for _ in range(READ_AHEAD))
        prepared, end = _load(tokenizer_folder / "tokenizer.json")
        encoder = CheckedEncoder(prepared)
        total, done = table.metadata.num_rows, 0
        while (rows := reading.popleft().result()) is not None:
            reading.append(reader.submit(next, chunks, None))
            columns = _encoded(rows, encoder, end)
            keys = arrow.values(rows["split_key"])
            held_out = documents.validation_mask(keys, values.validation.fraction)
            for split, chosen in zip(splits.values(), (~held_out, held_out), strict=True):
                split.extend(_chosen(columns, chosen))
            done += len(rows)
            context.report.progress(done, total, "documents")

    written = {name: _joined(split, end.dtype) for name, split in splits.items()}
    counts = {name: _counts(columns) for name, columns in written.items()}
    for name, columns in written.items():
        metadata = {"tokenizer": prepared.digest, "split": name, "sources": counts[name]}
        write_shard(context.out / f"{name}.arrow", columns, metadata)
    sums = {
        "documents": sum(len(columns.lengths) for columns in written.values()),
        "bytes": sum(int(np.sum(columns.sizes)) for columns in written.values()),
        "tokens": sum(len(columns.tokens) for columns in written.values()),
    }
    train, held = (len(written[name].tokens) for name in SPLITS)
    return StepResult(
        counts={**counts, **sums, "encoder": encoder.name},
        summary=f"{train:,} tokens for training, {held:,} for validation",
    )


def _load(path: Path) -> tuple[Prepared, Tokens]:
    """A tokenizer, and its end of text (1,) in the type of the tokens."""
    try:
        prepared = prepare(path.read_bytes())
        end_of_text = special_ids(prepared.tokenizer, [END_OF_TEXT])[END_OF_TEXT]
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{path} cannot be used: {error}") from error
    return prepared, np.array([end_of_text], token_type(prepared.end))


def _chunks(table: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Rows in order, some CHUNK_BYTES of text at a time."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in table.iter_batches(batch_size=READ_ROWS, columns=list(COLUMNS)):
        waiting.append(batch)
        size += batch["text"].nbytes
        if size >= CHUNK_BYTES:
            yield _one(waiting)
            waiting, size = [], 0
    if waiting:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _encoded(rows: pa.RecordBatch, encoder: CheckedEncoder, end: Tokens) -> _Columns:
    """The rows with their texts as tokens, each closed by the token `end` (1,)."""
    texts = rows["text"]
    ids, offsets = encoder.encode(texts)
    tokens = np.empty(len(ids) + len(texts), end.dtype)
    ends = offsets[1:] + np.arange(len(texts))
    inside = np.ones(len(tokens), bool)
    inside[ends] = False
    tokens[ends] = end
    tokens[inside] = ids
    lengths = np.diff(offsets) + 1
    return _Columns(rows["doc_id"], rows["source"], arrow.text_bytes(texts), lengths, tokens)


def _chosen(columns: _Columns, chosen: np.ndarray) -> Iterator[_Columns]:
    """The chosen rows (N,) bool of a chunk: the chunk itself if all are, nothing if none is."""
    if chosen.all():
        yield columns
    elif chosen.any():
        rows = arrow.numbers(np.flatnonzero(chosen))
        yield _Columns(
            columns.doc_ids.take(rows),
            columns.sources.take(rows),
            columns.sizes[chosen],
            columns.lengths[chosen],
            columns.tokens[np.repeat(chosen, columns.lengths)],
        )


def _joined(parts: Sequence[_Columns], dtype: np.dtype[Any]) -> _Columns:
    """All chunks of a split, end to end."""
    none = np.empty(0, np.int64)
    return _Columns(
        pa.concat_arrays([pa.nulls(0, documents.DOC_ID), *(part.doc_ids for part in parts)]),
        pa.concat_arrays([pa.nulls(0, pa.string()), *(part.sources for part in parts)]),
        np.concatenate([none, *(part.sizes for part in parts)]),
        np.concatenate([none, *(part.lengths for part in parts)]),
        np.concatenate([np.empty(0, dtype), *(part.tokens for part in parts)]),
    )


def _counts(columns: _Columns) -> dict[str, dict[str, int]]:
    """Documents, bytes and tokens by source."""
    found = columns.sources.dictionary_encode()
    rows = arrow.values(found.indices)
    counts = {}
    for number, source in sorted(enumerate(found.dictionary.to_pylist()), key=lambda pair: pair[1]):
        of_source = rows == number
        counts[source] = {
            "documents": int(np.count_nonzero(of_source)),
            "bytes": int(np.sum(columns.sizes[of_source])),
            "tokens": int(np.sum(columns.lengths[of_source])),
        }
    return counts
