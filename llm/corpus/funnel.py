"""The corpus funnel: documents and bytes that came in, were kept, and were dropped by each reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DECISIONS, DROPPED, EXTRACTED, identities, read_table

KEPT = "kept"


def funnel_rows(extracted: Sequence[Path], decisions: Sequence[Path]) -> list[dict[str, Any]]:
    """The table of what became of everything: rows of outcome, reason, documents and bytes.

    extracted: the folders of all extracted shards; decisions: their tables of decisions. The
    first row is what came in, the last what was kept; those between, largest first, add up to the
    difference. Bytes are of the text (UTF-8), for pages that gave no text of the page itself.

    Raises ValueError unless every id that came in is in exactly one place.
    """
    columns = ["doc_id", "reason", "bytes"]
    documents: Counter[str] = Counter()
    size: Counter[str] = Counter()

    def count(path: Path, schema: pa.Schema) -> np.ndarray:
        table = read_table(path, schema, columns)
        grouped = table.group_by("reason").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in grouped.to_pylist():
            documents[row["reason"]] += row["bytes_count"]
            size[row["reason"]] += row["bytes_sum"]
        return identities(table["doc_id"])

    came = _ids(
        identities(read_table(path / "documents.parquet", EXTRACTED, ["doc_id"])["doc_id"])
        for path in extracted
    )
    judged = _ids(count(path, DECISIONS) for path in decisions)
    unread = _ids(count(path / "dropped.parquet", DROPPED) for path in extracted)
    lost, new = np.setdiff1d(came, judged), np.setdiff1d(judged, came)
    both = np.intersect1d(came, unread)
    if len(lost) or len(new) or len(both):
        raise ValueError(
            f"documents do not reconcile: {len(lost)} were never decided on, {len(new)} decided on "
            f"never came in, {len(both)} are both a document and an unreadable page"
        )
    kept = _row("kept", "", documents.pop(KEPT, 0), size.pop(KEPT, 0))
    dropped = [
        _row("dropped", reason, number, size[reason])
        for reason, number in sorted(documents.items(), key=lambda item: (-item[1], item[0]))
    ]
    everything = [kept, *dropped]
    total = {key: sum(row[key] for row in everything) for key in ("documents", "bytes")}
    return [_row("in", "", total["documents"], total["bytes"]), *dropped, kept]


def _row(outcome: str, reason: str, documents: int, size: int) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "documents": documents, "bytes": size}


def _ids(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The doc_ids of tables, sorted. Raises ValueError where one comes twice."""
    ids = np.sort(np.concatenate([np.zeros(0, "S16"), *parts]))
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise ValueError(
            f"document {twice[:1].tobytes().hex()} is in two shards: shards must not overlap"
        )
    return ids
