"""The documents that are kept, cleaned passage by passage: what everything after cleaning reads."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.documents import (
    DECISIONS,
    DOC_ID,
    DOCUMENTS,
    EXTRACTED,
    SIDECAR,
    batches,
    by_identity,
    content_digest,
    read_table,
    write_table,
)
from llm.corpus.passages import cut
from llm.corpus.pii import mask
from llm.corpus.text.c4 import c4_lines
from llm.corpus.write_settings import WriteShard
from llm.step import BadInput, Context, Inputs, StepResult
from llm.words import counted

LIBRARIES = ("python",)

# What of a document is cut, wherever that was found out (characters).
SPANS = pa.schema([("doc_id", DOC_ID), ("start", pa.int64()), ("end", pa.int64())])

Spans = Mapping[bytes, list[tuple[int, int]]]


def write(values: WriteShard, inputs: Inputs, context: Context) -> StepResult:
    """Write the kept documents of one shard: documents.parquet and sidecar.parquet.

    inputs: documents (the one extracted shard), decisions, and where they are used spans (repeated
    passages) and contamination: what both name is cut. A document keeps its doc_id when its text
    changes: the id names what was extracted. One of which nothing is left is left out, and counted.
    """
    (extracted,) = inputs["documents"]
    path = inputs["decisions"][0] / "decisions" / f"{values.shard}.parquet"
    split_keys = _kept(path)
    erased = {bytes.fromhex(one) for one in (*values.erased, *values.outdated)}
    spans = _spans(values.shard, inputs)
    counts: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    tables = []
    for batch in batches([extracted], EXTRACTED.names, EXTRACTED):
        rows = []
        for row in _chosen(batch, split_keys):
            counts["found"] += 1
            text, found = _clean(row, values, spans)
            if row["doc_id"] in erased:
                counts["erased"] += 1
            elif not text.strip():
                counts["emptied"] += 1
            else:
                masked += found
                counts["bytes"] += len(text.encode())
                rows.append({**row, "text": text, "split_key": split_keys[row["doc_id"]]})
        tables.append(pa.Table.from_pylist(rows, schema=DOCUMENTS))
        context.report.progress(counts["found"], len(split_keys), "documents")
    # What a purge took out of the extracted shard is not there to be found.
    if counts["found"] + len(erased & split_keys.keys()) - counts["erased"] != len(split_keys):
        raise BadInput(
            f"{path} keeps {len(split_keys)} documents, {extracted} has {counts['found']} of them: "
            "the two are not of one run; clean again"
        )
    documents = by_identity(pa.concat_tables(tables or [DOCUMENTS.empty_table()]))
    write_table(context.out / "documents.parquet", documents)
    sidecar = read_table(extracted / "sidecar.parquet", SIDECAR)
    there = set(documents["doc_id"].to_pylist())
    wanted = [identity in there for identity in sidecar["doc_id"].to_pylist()]
    write_table(context.out / "sidecar.parquet", sidecar.filter(pa.array(wanted, pa.bool_())))
    return StepResult(
        counts={
            "documents": documents.num_rows,
            "bytes": counts["bytes"],
            "erased": len(erased & split_keys.keys()),
            "emptied": counts["emptied"],
            "masked": dict(sorted(masked.items())),
        },
        content=content_digest(documents),
        summary=f"{counted(documents.num_rows, 'document')}, {counts['bytes'] / 1e6:.2f} MB",
    )


def _kept(path: Path) -> dict[bytes, int]:
    """The documents to keep, with their split keys."""
    table = read_table(path, DECISIONS, ["doc_id", "reason", "split_key"])
    columns = (table[name].to_pylist() for name in ("doc_id", "reason", "split_key"))
    return {one: key for one, reason, key in zip(*columns, strict=True) if reason == "kept"}


def _spans(shard: str, inputs: Inputs) -> Spans:
    """What is to be cut from each document."""
    paths = [folder / "spans" / f"{shard}.parquet" for folder in inputs.get("spans", ())]
    paths += [folder / "hits.parquet" for folder in inputs.get("contamination", ())]
    found: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for path in paths:
        table = read_table(path, SPANS)
        columns = (table[name].to_pylist() for name in SPANS.names)
        for identity, start, end in zip(*columns, strict=True):
            found[identity].append((start, end))
    return found


def _chosen(batch: pa.RecordBatch, wanted: Mapping[bytes, int]) -> list[dict[str, Any]]:
    mask_of_kept = [identity in wanted for identity in batch["doc_id"].to_pylist()]
    rows: list[dict[str, Any]] = batch.filter(pa.array(mask_of_kept, pa.bool_())).to_pylist()
    return rows


def _clean(row: Mapping[str, Any], values: WriteShard, spans: Spans) -> tuple[str, Counter[str]]:
    """A document's text as it is trained on, and what was masked in it by kind."""
    text = row["text"]
    if row["doc_id"] in spans:
        text = cut(text, spans[row["doc_id"]])
    if values.lines is not None:
        text = c4_lines(text, values.lines, row["language"])
    return mask(text, values.pii)
