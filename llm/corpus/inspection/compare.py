"""Two versions of a corpus side by side: what came, went, changed its reason or its text."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.corpus.documents import DOCUMENTS, EXTRACTED, batches
from llm.corpus.inspection.browse import KEPT, Night, outcomes, rows_of

ABSENT = "absent"

Row = dict[str, Any]


def compare(
    before: Sequence[Night], after: Sequence[Night], *, count: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Which addresses fare otherwise in another version, by source and URL.

    {"moves": [{"from", "to", "text_changed", "documents", "bytes"}], most documents first, "same":
    documents that fare alike, "samples": `count` at most of each move, with url, source, from, to,
    before and after (texts, None where there is none) and diff}. "from" and "to" are reasons, or
    "absent". bytes are of the newer text, of what went of the older.
    """
    sides = _by_address(before), _by_address(after)
    rewritten = _rewritten((before, after), sides)
    moves: dict[tuple[str, str, bool], list[tuple[str, str]]] = {}
    same = 0
    for address in sides[0].keys() | sides[1].keys():
        one, two = (side.get(address) for side in sides)
        reasons = [ABSENT if row is None else row["reason"] for row in (one, two)]
        changed = one is not None and two is not None and one["doc_id"] != two["doc_id"]
        changed = changed or address in rewritten
        if reasons[0] == reasons[1] and not changed:
            same += 1
        else:
            moves.setdefault((reasons[0], reasons[1], changed), []).append(address)
    draw = np.random.default_rng(seed)
    rows, drawn = [], []
    for (start, end, changed), addresses in sorted(
        moves.items(), key=lambda item: (-len(item[1]), item[0])
    ):
        size = sum((sides[1].get(one) or sides[0][one])["bytes"] for one in addresses)
        row = {"from": start, "to": end, "text_changed": changed}
        rows.append({**row, "documents": len(addresses), "bytes": size})
        addresses.sort()
        places = np.sort(draw.permutation(len(addresses))[:count])
        drawn += [(row, addresses[place]) for place in places]
    texts = [
        _texts(nights, side, [address for _, address in drawn])
        for nights, side in zip((before, after), sides, strict=True)
    ]
    samples = []
    for row, address in drawn:
        was, now = (side.get(address) for side in texts)
        diff = unified(was, now) if was is not None and now is not None else []
        told = {"source": address[0], "url": address[1], **row}
        samples.append({**told, "before": was, "after": now, "diff": diff})
    return {"moves": rows, "same": same, "samples": samples}


def unified(before: str, after: str) -> list[str]:
    """The lines of a unified diff, two lines of context."""
    lines = before.splitlines(), after.splitlines()
    return list(difflib.unified_diff(*lines, "before", "after", lineterm="", n=2))


def _by_address(nights: Sequence[Night]) -> dict[tuple[str, str], Row]:
    """The newest row of each address; within a night the one that was kept."""
    table = outcomes(nights)
    names = ("source", "url", "doc_id", "reason", "bytes", "night", "shard")
    found: dict[tuple[str, str], Row] = {}
    for source, url, *rest in zip(*(table[name].to_pylist() for name in names), strict=True):
        row = dict(zip(names[2:], rest, strict=True))
        known = found.get((source, url))
        if known is None or (row["night"], row["reason"] == KEPT) > (
            known["night"],
            known["reason"] == KEPT,
        ):
            found[source, url] = row
    return found


def _rewritten(
    versions: tuple[Sequence[Night], Sequence[Night]],
    sides: tuple[dict[tuple[str, str], Row], dict[tuple[str, str], Row]],
) -> set[tuple[str, str]]:
    """Addresses whose document is the same and whose written text differs: masked or cut again.

    Shards that are one artifact in both are not read.
    """
    digests: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
    folders = [
        {folder for night in nights for folder in night.written.values()} for nights in versions
    ]
    for side, nights in enumerate(versions):
        for folder in sorted({folder for night in nights for folder in night.written.values()}):
            if folder not in folders[1 - side]:
                digests[side].update(_digests(folder))
    return {
        address
        for address, one in sides[0].items()
        if (two := sides[1].get(address)) is not None
        and one["doc_id"] == two["doc_id"]
        and one["reason"] == two["reason"] == KEPT
        and one["doc_id"] in digests[0]
        and two["doc_id"] in digests[1]
        and digests[0][one["doc_id"]] != digests[1][two["doc_id"]]
    }


def _digests(folder: Path) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for batch in batches([folder], ["doc_id", "text"]):
        for identity, text in zip(
            batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True
        ):
            found[identity] = hash(text)
    return found


def _texts(
    nights: Sequence[Night],
    side: dict[tuple[str, str], Row],
    addresses: Sequence[tuple[str, str]],
) -> dict[tuple[str, str], str]:
    """The texts of some addresses: as written where they were kept, else as extracted."""
    places: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for address in addresses:
        if address in side:
            row = side[address]
            places.setdefault((row["night"], row["shard"]), []).append(address)
    found: dict[tuple[str, str], str] = {}
    for (number, at), wanted in places.items():
        night = nights[number]
        ids = frozenset(side[address]["doc_id"] for address in wanted)
        rows = rows_of(night.inputs["documents"][at] / "documents.parquet", EXTRACTED, ids)
        folder = night.written.get(night.values.shards[at])
        if folder is not None:
            rows |= rows_of(folder / "documents.parquet", DOCUMENTS, ids)
        for address in wanted:
            identity = side[address]["doc_id"]
            if identity in rows:
                found[address] = rows[identity]["text"]
    return found
