"""Evaluation items in training text: the steps that index the sets and search the shards.

Every search also plants items into copies of some documents, and what only looks like items, and
reports what it finds of them. The copies are in no table that a later step reads.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from llm.corpus.contamination.index import (
    Index,
    Matches,
    common,
    judge,
    locate,
    make_index,
    match,
    read_index,
    write_index,
)
from llm.corpus.contamination.planted import measure
from llm.corpus.contamination.sets import DecontaminateSettings, items
from llm.corpus.documents import DOC_ID, EXTRACTED, batches, content_digest, write_rows
from llm.corpus.score import told
from llm.durable import write_json
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

LIBRARIES = ("numpy", "python")

# Where documents hold items: text[start:end] has `overlap` of the item's words. Sorted by doc_id.
HITS = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("set", pa.string()),
        ("item", pa.string()),
        ("overlap", pa.float64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("evidence", pa.string()),
    ]
)

_EVIDENCE_CHARACTERS = 200


def index(values: DecontaminateSettings, inputs: Inputs, context: Context) -> StepResult:
    """Index the evaluation sets in `inputs["files"]` (see `evaluation_files`), once for all shards.

    Raises BadInput where a set has no item, or none of all is long enough to be searched for.
    """
    made, counts = make_index(items(values, inputs["files"]), values.n, values.min_words)
    if not len(made.hashes):
        raise BadInput(
            f"none of {counts['items']} evaluation items is long enough to search for: check the "
            "`fields` of the sets, and min_words"
        )
    write_index(made, context.out)
    return StepResult(
        counts=counts,
        summary=f"{counted(counts['items'], 'item')}; not searched for: {counts['too_short']} of fewer than "
        f"{values.min_words} words, {counts['unfindable'] - counts['too_short']} of what many share",
    )


def find_contaminated(
    values: DecontaminateSettings, inputs: Inputs, context: Context
) -> StepResult:
    """Search one shard for evaluation items: hits.parquet, and planted.json on the search itself.

    inputs: documents (one extracted shard) and index.
    """
    (folder,) = inputs["documents"]
    made = read_index(inputs["index"][0])
    matches, ids = _match(made, folder, context)
    boilerplate = common(made, matches)
    found = list(judge(made, matches, boilerplate, values.min_overlap))
    hits = _hits(made, folder, ids, found)
    write_rows(context.out / "hits.parquet", hits)
    planted = measure(made, _some_texts(folder), boilerplate, values, seed=ids[0] if ids else b"")
    write_json(context.out / "planted.json", planted)
    due, right, wrong = (
        sum(one[name] for one in planted[which].values())
        for which, name in (("kinds", "planted"), ("kinds", "found"), ("near_misses", "found"))
    )
    contaminated = len({one[0] for one in found})
    by_set = Counter(hits["set"].to_pylist())
    return StepResult(
        counts={
            "documents": len(ids),
            "contaminated": contaminated,
            "hits": dict(sorted(by_set.items())),
            "boilerplate": int(boilerplate.sum()),
            "recall": {kind: one["recall"] for kind, one in planted["kinds"].items()},
            "precision": planted["precision"],
        },
        content=digest_of([content_digest(hits), repr(planted)]),
        summary=f"{contaminated:,} of {counted(len(ids), 'document')} {'holds' if contaminated == 1 else 'hold'} evaluation items; "
        f"{told(due, right, wrong)}",
    )


def _match(made: Index, folder: Path, context: Context) -> tuple[Matches, list[bytes]]:
    """The n-grams of all documents of a shard, and the documents' ids."""
    parts = [match(made, [])]
    ids: list[bytes] = []
    for batch in batches([folder], ["doc_id", "text"], EXTRACTED):
        one = match(made, batch["text"].to_pylist())
        parts.append(Matches(one.texts + len(ids), one.places, one.grams))
        ids += batch["doc_id"].to_pylist()
        context.report.progress(len(ids), None, "documents")
    return Matches(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), ids


def _hits(
    made: Index,
    folder: Path,
    ids: Sequence[bytes],
    found: Sequence[tuple[int, int, float, int, int]],
) -> pa.Table:
    """The rows of hits.parquet. Reads the texts again, of documents with hits only."""
    by_text: dict[int, list[tuple[int, int, float, int, int]]] = {}
    for one in found:
        by_text.setdefault(one[0], []).append(one)
    sets, names = made.items["set"].to_pylist(), made.items["item"].to_pylist()
    rows, number = [], 0
    for batch in batches([folder], ["text"], EXTRACTED):
        for offset in sorted(by_text.keys() & range(number, number + batch.num_rows)):
            text = batch["text"][offset - number].as_py()
            spans = locate(text, [(first, last) for *_, first, last in by_text[offset]])
            for (_, item, overlap, *_), (start, end) in zip(by_text[offset], spans, strict=True):
                where = {"overlap": overlap, "start": start, "end": end}
                evidence = text[start:end][:_EVIDENCE_CHARACTERS]
                which = {"doc_id": ids[offset], "set": sets[item], "item": names[item]}
                rows.append({**which, **where, "evidence": evidence})
        number += batch.num_rows
    rows.sort(key=lambda row: (row["doc_id"], row["set"], row["start"], row["item"]))
    return pa.Table.from_pylist(rows, schema=HITS)


def _some_texts(folder: Path) -> list[str]:
    """The first texts of a shard: its order is that of random ids."""
    for batch in batches([folder], ["text"], EXTRACTED):
        texts: list[str] = batch["text"].slice(0, 20).to_pylist()
        return texts
    return []
