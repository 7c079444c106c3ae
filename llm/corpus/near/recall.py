"""How many of the planted duplicates were found, by similarity, and how much of what was found is one."""

from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DOC_ID, identities, read_table
from llm.corpus.near.bands import chance
from llm.corpus.near.gathering import Gathered
from llm.corpus.near.minhash import jaccard
from llm.durable import write_json
from llm.step import BadInput, Inputs

# How planted documents were made: `doc_id` is an edit of `origin` that left this similarity.
TRUTH = pa.schema(
    [("doc_id", DOC_ID), ("origin", DOC_ID), ("similarity", pa.float64()), ("edit", pa.string())]
)

# Planted duplicates are counted by similarity between these; the last band includes 1.
EDGES = tuple(edge / 100 for edge in range(50, 101, 5))


class Near(Protocol):
    """What near-duplicates are: see `dedup.NearSettings`."""

    @property
    def similarity(self) -> float: ...
    def banding(self) -> tuple[int, int]: ...


def write_recall(
    out: Path, corpus: Gathered, flagged: np.ndarray, same: np.ndarray, near: Near, inputs: Inputs
) -> dict[str, Any]:
    """Write planted.json; returns what is in it.

    flagged (G,) bool: which documents were found to repeat another; same (G,): which one.
    Documents whose origin repeats another document itself are left out: who they repeat is open.

    bands: for each range of similarity the planted documents in it, the share that has a MinHash
    key in common with its origin (`met`) beside what theory says of it (`theory`), and the share
    that was found (`found`; below the threshold, none should be).
    recall: of those that reach the threshold (`due` of them, `due_found` found); precision: of those
    found, whose true similarity to the document that they are said to repeat reaches it (`wrong` of
    them do not).
    """
    identity, origin, similarity = _truth(inputs)
    own, known = _positions(corpus, identity, corpus.guests, len(corpus))
    origins, there = _positions(corpus, origin, corpus.fixed, corpus.guests)
    rows = known & there & ~flagged[origins]
    own, origins, similarity = own[rows], origins[rows], similarity[rows]
    bands, band_rows = near.banding()
    met = np.zeros(len(own), bool)
    for band in range(bands):
        keys = corpus.band(band)
        met |= keys[own] == keys[origins]
    found = flagged[own]
    right = np.array(
        [
            _true(corpus, int(own[at]), int(same[own[at]]), int(origins[at]), float(similarity[at]))
            >= near.similarity
            for at in np.flatnonzero(found)
        ],
        bool,
    )
    theory = np.array([chance(one, bands, band_rows) for one in similarity])
    due = similarity >= near.similarity
    figures = {
        "threshold": near.similarity,
        "documents": len(own),
        "left_out": len(rows) - len(own),
        "due": int(due.sum()),
        "due_found": int(found[due].sum()),
        "found": int(found.sum()),
        "wrong": len(right) - int(right.sum()),
        "recall": _share(found[due]),
        "theory": _share(theory[due]),
        "precision": _share(right),
        "bands": [
            _band(low, high, similarity, theory, met, found) for low, high in pairwise(EDGES)
        ],
    }
    write_json(out / "planted.json", figures)
    return figures


def _truth(inputs: Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    folders = list(inputs.get("truth", ()))
    if len(folders) != 1:
        raise BadInput(f"planted documents need one folder with truth.parquet, not {len(folders)}")
    table = read_table(folders[0] / "truth.parquet", TRUTH)
    ids, origins = identities(table["doc_id"]), identities(table["origin"])
    return ids, origins, table["similarity"].to_numpy()


def _positions(
    corpus: Gathered, wanted: np.ndarray, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted identity is among the documents first to last - 1, and whether it is."""
    ordered = np.argsort(wanted)
    places = np.full(len(wanted), first)
    there = np.zeros(len(wanted), bool)
    own = corpus.ids[first:last]
    hits = np.flatnonzero(np.isin(own, wanted))
    for hit in hits.tolist():
        low, high = (
            np.searchsorted(wanted, own[hit], "left", ordered),
            np.searchsorted(wanted, own[hit], "right", ordered),
        )
        places[ordered[low:high]] = hit + first
        there[ordered[low:high]] = True
    return np.minimum(places, max(last - 1, 0)), there


def _true(corpus: Gathered, planted: int, of: int, origin: int, similarity: float) -> float:
    """How alike a planted document is to the one that it was found to repeat."""
    if of == origin:
        return similarity
    pair = np.array(sorted((planted, of)))
    a, b = (np.frombuffer(data, "<u4") for data in corpus.shingles(pair))
    return jaccard(a, b)


def _band(
    low: float,
    high: float,
    similarity: np.ndarray,
    theory: np.ndarray,
    met: np.ndarray,
    found: np.ndarray,
) -> dict[str, Any]:
    inside = (similarity >= low) & ((similarity < high) | (high == EDGES[-1]))
    return {
        "from": low,
        "to": high,
        "documents": int(inside.sum()),
        "theory": _share(theory[inside]),
        "met": _share(met[inside]),
        "found": _share(found[inside]),
    }


def _share(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
