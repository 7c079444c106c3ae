"""The corpus funnel: documents and bytes that came in, were kept, and were dropped by each reason."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.documents import DECISIONS, DROPPED, EXTRACTED, read_table

KEPT = "kept"


def funnel_rows(extracted: Sequence[Path], decisions: Sequence[Path]) -> list[dict[str, Any]]:
    """The table of what became of everything: rows of outcome, reason, documents and bytes.

    extracted: the folders of all extracted shards; decisions: their tables of decisions. The
    first row is what came in, the last what was kept; those between, largest first, add up to the
    difference. Bytes are of the text (UTF-8), for pages that gave no text of the page itself.

    Raises ValueError unless every id that came in is in exactly one place.
    """
    came = _ids(
        [read_table(path / "documents.parquet", EXTRACTED, ["doc_id"]) for path in extracted]
    )
    decided = [read_table(path, DECISIONS) for path in decisions]
    refused = [read_table(path / "dropped.parquet", DROPPED) for path in extracted]
    judged, unread = _ids(decided), _ids(refused)
    if came != judged or came & unread:
        raise ValueError(
            f"documents do not reconcile: {len(came - judged)} were never decided on, "
            f"{len(judged - came)} decided on never came in, "
            f"{len(came & unread)} are both a document and an unreadable page"
        )
    documents: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for table in [*refused, *decided]:
        for reason, length in zip(
            table["reason"].to_pylist(), table["bytes"].to_pylist(), strict=True
        ):
            documents[reason] += 1
            size[reason] += length
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


def _ids(tables: Sequence[pa.Table]) -> set[bytes]:
    """The doc_ids of tables. Raises ValueError where one comes twice."""
    listed = [identity for table in tables for identity in table["doc_id"].to_pylist()]
    ids = set(listed)
    if len(ids) < len(listed):
        twice = next(identity for identity, times in Counter(listed).items() if times > 1)
        raise ValueError(f"document {twice.hex()} is in two shards: shards must not overlap")
    return ids
