"""Documents become token shards: one for training, one for validation, split by `split_key`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus import documents
from llm.durable import file_digest
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens.encoders import Encoder, fastest, prepare
from llm.tokens.shards import ShardColumns, Tokens, token_type, write_shard
from llm.tokens.special import END_OF_TEXT, special_ids

LIBRARIES = ("tokenizers",)

SPLITS = ("train", "validation")
CHUNK_BYTES = 8_000_000  # text that is encoded at once: the threads are busy, memory stays small
COLUMNS = ("doc_id", "source", "split_key", "text")


@section
class ValidationSettings:
    """Which documents are held out from the tokenizer and from training."""

    fraction: float = setting(
        default=0.05,
        description="Share of the URLs held out for validation (0 to 1); a page and its duplicates stay "
        "together, and on their side when documents are added or edited.",
        ge=0,
        lt=1,
    )


@section
class TokenizeSettings:
    """How documents are encoded and split."""

    validation: ValidationSettings = setting(
        default=ValidationSettings, description="What is held out."
    )


@dataclass
class _Split:
    """One split's documents while they are gathered, chunk by chunk."""

    doc_ids: list[pa.Array] = field(default_factory=list)
    sources: list[pa.Array] = field(default_factory=list)
    sizes: list[np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=list)
    lengths: list[np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)

    def add(self, rows: pa.RecordBatch, encoder: Encoder, end: Tokens) -> None:
        """Encode the rows' texts and end each with the token `end` (1,)."""
        texts = rows["text"]
        if not len(texts):
            return
        _, starts, _ = texts.buffers()
        starts = np.frombuffer(starts, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        ids, offsets = encoder.encode(texts)
        lengths = np.diff(offsets) + 1
        tokens = np.empty(len(ids) + len(texts), end.dtype)
        ends = np.cumsum(lengths) - 1
        inside = np.ones(len(tokens), bool)
        inside[ends] = False
        tokens[ends] = end
        tokens[inside] = ids
        self.doc_ids.append(rows["doc_id"])
        self.sources.append(rows["source"])
        self.sizes.append(np.diff(starts))
        self.lengths.append(lengths)
        self.tokens.append(tokens)

    def columns(self, dtype: np.dtype[Any]) -> ShardColumns:
        """All chunks, end to end."""
        none = np.empty(0, np.int64)
        return ShardColumns(
            pa.concat_arrays([pa.array([], documents.DOC_ID), *self.doc_ids]),
            pa.concat_arrays([pa.array([], pa.string()), *self.sources]),
            np.concatenate([none, *self.sizes]),
            np.concatenate([none, *self.lengths]),
            np.concatenate([np.empty(0, dtype), *self.tokens]),
        )


def tokenize(values: TokenizeSettings, inputs: Inputs, context: Context) -> StepResult:
    """Encode one shard of documents into `train.arrow` and `validation.arrow`.

    Each document ends with <|endoftext|>; a split with no document is a shard of no rows. The ids
    are those of Hugging Face's tokenizers, whichever encoder gave them: the counts say which.
    Raises BadInput for a tokenizer that cannot be read or has no such token.
    """
    [folder], [tokenizer_folder] = inputs["documents"], inputs["tokenizer"]
    path = tokenizer_folder / "tokenizer.json"
    try:
        prepared = prepare(path.read_text("utf8"))
        end_of_text = special_ids(prepared.tokenizer, [END_OF_TEXT])[END_OF_TEXT]
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{path} cannot be used: {error}") from error
    dtype = token_type(prepared.end)
    end = np.array([end_of_text], dtype)

    splits = {name: _Split() for name in SPLITS}
    encoder: Encoder | None = None
    with documents.open_table(folder / "documents.parquet", documents.DOCUMENTS) as table:
        total, done = table.metadata.num_rows, 0
        for rows in _chunks(table):
            encoder = encoder or fastest(prepared, rows["text"])
            keys = rows["split_key"].to_numpy()
            held_out = documents.validation_mask(keys, values.validation.fraction)
            for split, chosen in zip(splits.values(), (~held_out, held_out), strict=True):
                split.add(rows.filter(pa.array(chosen)), encoder, end)
            done += len(rows)
            context.report.progress(done, total, "documents")

    digest = file_digest(path)
    written = {name: split.columns(dtype) for name, split in splits.items()}
    counts = {name: _counts(columns) for name, columns in written.items()}
    for name, columns in written.items():
        metadata = {"tokenizer": digest, "split": name, "sources": counts[name]}
        write_shard(context.out / f"{name}.arrow", columns, metadata)
    sums = {
        "documents": sum(len(columns.lengths) for columns in written.values()),
        "bytes": sum(int(np.sum(columns.sizes)) for columns in written.values()),
        "tokens": sum(len(columns.tokens) for columns in written.values()),
    }
    train, held = (len(written[name].tokens) for name in SPLITS)
    return StepResult(
        counts={**counts, **sums, "encoder": encoder.name if encoder else "none"},
        summary=f"{train:,} tokens for training, {held:,} for validation",
    )


def _chunks(table: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Rows in order, some CHUNK_BYTES of text at a time."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in table.iter_batches(batch_size=documents.GROUP_ROWS, columns=list(COLUMNS)):
        waiting.append(batch)
        size += batch["text"].nbytes
        if size >= CHUNK_BYTES:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def _counts(columns: ShardColumns) -> dict[str, dict[str, int]]:
    """Documents, bytes and tokens by source."""
    table = pa.table(
        {
            "source": columns.sources,
            "documents": np.ones(len(columns.lengths), np.int64),
            "bytes": columns.sizes,
            "tokens": columns.lengths,
        }
    )
    names = ("documents", "bytes", "tokens")
    summed = table.group_by("source").aggregate([(name, "sum") for name in names])
    return {
        row["source"]: {name: row[f"{name}_sum"] for name in names}
        for row in sorted(summed.to_pylist(), key=lambda row: row["source"])
    }
