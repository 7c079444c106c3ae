"""Which documents of a cluster go: settled by figures and ids, after every rule has been asked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from llm.corpus.documents import CLUSTERS, PAIRS, identities, open_table, read_table

NAMES = ("exact_duplicate", "near_duplicate", "seen_before", "same_address")
EXACT, NEAR, SEEN, ADDRESS = range(4)


class Corpus(Protocol):
    """Columns over the N documents of a night; rules' reasons are 1 to len(names), 0: none."""

    names: list[str]
    ids: np.ndarray
    sizes: np.ndarray
    lengths: np.ndarray
    split_keys: np.ndarray
    reasons: np.ndarray


@dataclass
class Settled:
    """Columns over the N documents. reasons: 0 kept, rules', then 1 + len(rules) + index in names."""

    names: tuple[str, ...]
    reasons: np.ndarray  # (N,) int16
    duplicate_of: np.ndarray  # (N,) S16
    is_duplicate: np.ndarray  # (N,) bool
    split_keys: np.ndarray  # (N,) uint64, one for a cluster


def settle(corpus: Corpus, duplicates: Path) -> Settled:
    """Drop what repeats a document that stays: of a cluster's documents that pass, the longest.

    Where the rules drop the cluster's representative, the rest are compared with one another by
    the pairs on record: nothing goes as a duplicate of what it was not verified against. What
    repeats a document of an earlier night goes in any case.
    """
    first = 1 + len(corpus.names)
    found = Settled(
        NAMES,
        corpus.reasons.copy(),
        np.zeros(len(corpus.ids), "S16"),
        np.zeros(len(corpus.ids), bool),
        corpus.split_keys.copy(),
    )

    def drop(rows: np.ndarray, reason: int | np.ndarray, of: np.ndarray) -> None:
        found.reasons[rows] = first + reason
        found.duplicate_of[rows] = of
        found.is_duplicate[rows] = True

    table = read_table(duplicates / "clusters.parquet", CLUSTERS)
    order = np.argsort(corpus.ids)
    rows = _places(corpus.ids, order, identities(table["doc_id"]))
    if len(rows) != len(order) or (np.bincount(rows, minlength=len(order)) != 1).any():
        raise ValueError("the table of duplicates is of other documents than those to decide on")
    # From here on in the order of the documents.
    back = np.argsort(rows)
    kinds = np.array(table["kind"].to_pylist(), dtype=str)[back]
    cluster, of = identities(table["cluster"])[back], identities(table["of"])[back]
    leader = _places(corpus.ids, order, cluster)  # -1: of an earlier night
    own = np.arange(len(kinds))
    passing = corpus.reasons == 0

    seen = np.flatnonzero((kinds == "seen") & passing)
    drop(seen, SEEN, corpus.ids[seen])
    member = np.isin(kinds, ("exact", "near")) & (leader != own)
    stays = np.where(leader < 0, True, passing[leader])
    clear = np.flatnonzero(member & passing & stays)
    drop(clear, np.where((kinds == "exact") & (of == cluster), EXACT, NEAR)[clear], cluster[clear])
    open_cases = np.flatnonzero(member & passing & ~stays)
    if len(open_cases):
        text = np.where(kinds == "exact", of, corpus.ids)
        _settle_among(corpus, open_cases, leader, text, duplicates, drop)
    same_address: dict[bytes, np.ndarray] = {}  # address's best document → the one that stays
    for row in np.flatnonzero((kinds == "url") & (found.reasons == 0)):
        best = of[row : row + 1]
        place = _places(corpus.ids, order, best)[0]
        if place < 0 or found.reasons[place] == 0:  # an earlier night's stays in any case
            same_address[best.tobytes()] = best
        stays_for = same_address.setdefault(best.tobytes(), corpus.ids[row : row + 1])
        if stays_for != corpus.ids[row]:
            drop(np.array([row]), ADDRESS, stays_for)
    within = np.flatnonzero(leader >= 0)
    np.minimum.at(found.split_keys, leader[within], corpus.split_keys[within])
    found.split_keys[within] = found.split_keys[leader[within]]
    return found


def _places(ids: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted id is among `ids`, -1 where nowhere: (W,) int64."""
    if not len(ids):
        return np.full(len(wanted), -1)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def _settle_among(
    corpus: Corpus,
    rows: np.ndarray,
    leader: np.ndarray,
    text: np.ndarray,
    duplicates: Path,
    drop: Callable[[np.ndarray, int, np.ndarray], None],
) -> None:
    """Clusters whose representative is gone: the longest passing stays, and whatever of the others
    does not repeat one that stays."""
    alike = _pairs(duplicates, np.unique(text[rows]))
    rank = np.lexsort((corpus.ids[rows], corpus.lengths[rows], -corpus.sizes[rows], leader[rows]))
    group = -1
    kept: dict[bytes, np.ndarray] = {}  # text → the document that is kept for it
    for row in rows[rank].tolist():
        if leader[row] != group:
            group, kept = leader[row], {}
        mine = text[row : row + 1].tobytes()
        if mine in kept:
            drop(np.array([row]), EXACT, kept[mine])
            continue
        other = next((o for o in kept if (mine, o) in alike or (o, mine) in alike), None)
        if other is None:
            kept[mine] = corpus.ids[row : row + 1]
        else:
            drop(np.array([row]), NEAR, kept[other])


def _pairs(duplicates: Path, texts: np.ndarray) -> set[tuple[bytes, bytes]]:
    """The verified pairs among these texts."""
    found: set[tuple[bytes, bytes]] = set()
    with open_table(duplicates / "pairs.parquet", PAIRS) as file:
        for batch in file.iter_batches(columns=["doc_id", "of"]):
            a, b = identities(batch["doc_id"]), identities(batch["of"])
            rows = np.flatnonzero(np.isin(a, texts) & np.isin(b, texts))
            chosen = batch.take(pa.array(rows))
            found.update(zip(*(chosen[name].to_pylist() for name in ("doc_id", "of")), strict=True))
    return found
