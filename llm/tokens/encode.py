"""Documents become token shards: one for training, one for validation, split by `split_key`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from llm.corpus import documents
from llm.durable import file_digest
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens.shards import ShardColumns, Tokens, token_type, write_shard
from llm.tokens.special import END_OF_TEXT, read_special_tokens_as_text, special_ids

LIBRARIES = ("tokenizers",)

SPLITS = ("train", "validation")
CHUNK_BYTES = 8_000_000  # text that is encoded at once: the threads are busy, memory stays small


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
class _Rows:
    """One split's rows while they are gathered."""

    doc_ids: list[bytes] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)

    def columns(self, dtype: np.dtype[Any]) -> ShardColumns:
        tokens = np.concatenate([np.empty(0, dtype), *self.tokens])
        return ShardColumns(self.doc_ids, self.sources, self.sizes, self.lengths, tokens)

    def counts(self) -> dict[str, dict[str, int]]:
        """Documents, bytes and tokens by source."""
        found: dict[str, dict[str, int]] = {}
        for source, size, length in zip(self.sources, self.sizes, self.lengths, strict=True):
            row = found.setdefault(source, {"documents": 0, "bytes": 0, "tokens": 0})
            row["documents"] += 1
            row["bytes"] += size
            row["tokens"] += length
        return dict(sorted(found.items()))


def tokenize(values: TokenizeSettings, inputs: Inputs, context: Context) -> StepResult:
    """Encode one shard of documents into `train.arrow` and `validation.arrow`.

    Each document ends with <|endoftext|>; a split with no document is a shard of no rows.
    Raises BadInput for a tokenizer that cannot be read or has no such token.
    """
    [folder], [tokenizer_folder] = inputs["documents"], inputs["tokenizer"]
    path = tokenizer_folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
        end_of_text = special_ids(tokenizer, [END_OF_TEXT])[END_OF_TEXT]
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{path} cannot be used: {error}") from error
    read_special_tokens_as_text(tokenizer)
    # Not get_vocab_size: an imported vocabulary may have gaps in its ids.
    dtype = token_type(1 + max(tokenizer.get_vocab(with_added_tokens=True).values()))
    end = np.array([end_of_text], dtype)

    rows = {name: _Rows() for name in SPLITS}
    table = documents.open_table(folder / "documents.parquet", documents.DOCUMENTS)
    total, done = table.metadata.num_rows, 0
    for chunk in _chunks(inputs):
        texts = [text for *_, text in chunk]
        for (doc_id, source, key, text), encoding in zip(
            chunk, tokenizer.encode_batch_fast(texts, add_special_tokens=False), strict=True
        ):
            held_out = documents.validation(key, values.validation.fraction)
            split = rows["validation" if held_out else "train"]
            ids = np.concatenate([np.array(encoding.ids, dtype), end])
            split.doc_ids.append(doc_id)
            split.sources.append(source)
            split.sizes.append(len(text.encode()))
            split.lengths.append(len(ids))
            split.tokens.append(ids)
        done += len(chunk)
        context.report.progress(done, total, "documents")

    counts = {name: split.counts() for name, split in rows.items()}
    digest = file_digest(path)
    for name, split in rows.items():
        metadata = {"tokenizer": digest, "split": name, "sources": counts[name]}
        write_shard(context.out / f"{name}.arrow", split.columns(dtype), metadata)
    return StepResult(counts={**counts, **_totals(rows)}, summary=_summary(rows))


def _chunks(inputs: Inputs) -> Iterator[list[tuple[bytes, str, int, str]]]:
    """Rows of doc_id, source, split_key and text, in order, some CHUNK_BYTES at a time."""
    chunk: list[tuple[bytes, str, int, str]] = []
    size = 0
    columns = ["doc_id", "source", "split_key", "text"]
    batches = documents.batches(inputs["documents"], columns)
    for row in chain.from_iterable(
        zip(*(batch[name].to_pylist() for name in columns), strict=True) for batch in batches
    ):
        chunk.append(row)
        size += len(row[-1])
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _totals(rows: dict[str, _Rows]) -> dict[str, int]:
    return {
        "documents": sum(len(split.doc_ids) for split in rows.values()),
        "bytes": sum(sum(split.sizes) for split in rows.values()),
        "tokens": sum(sum(split.lengths) for split in rows.values()),
    }


def _summary(rows: dict[str, _Rows]) -> str:
    train, held = (sum(rows[name].lengths) for name in SPLITS)
    return f"{train:,} tokens for training, {held:,} for validation"
