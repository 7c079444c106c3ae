"""Clusters of near-duplicates round a representative, every member verified against it.

Documents come in one order: best first. Each joins the most similar earlier representative of
which it is a duplicate, or becomes a representative itself. Nobody is a duplicate by way of a
third document: chains of pairs would swallow whole sources.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from llm.corpus.minhash import jaccard

# Of the representatives that share a band with a document, as many are compared with it, those
# that share most bands first: pages made from one template must not cost the square of their number.
MOST_COMPARED = 64
# Representatives that a band remembers for one key. Such crowds come from templates, and what is
# truly alike in them meets in other bands.
MOST_IN_BAND = 256
# Of a cluster, as many documents are compared with all its others, so that one of them can stand
# in where filters drop the representative.
STAND_INS = 16


class Duplicate(NamedTuple):
    """The document at `position` repeats the one at `of` with this similarity (1.0: the same n-grams)."""

    position: int
    of: int
    similarity: float


class Clusters(NamedTuple):
    """Clusters among D documents, by position."""

    representative: np.ndarray  # (D,) int64: whom each belongs to; itself where to nobody
    similarity: np.ndarray  # (D,) float64 to the representative
    pairs: list[Duplicate]  # verified pairs inside clusters; `of` comes first in order


def no_clusters(count: int) -> Clusters:
    """Everybody on their own."""
    return Clusters(np.arange(count), np.ones(count), [])


def cluster(
    sets: Callable[[int], np.ndarray], keys: np.ndarray, order: Sequence[int], threshold: float
) -> Clusters:
    """Cluster the documents in `order` (positions, best first) by Jaccard similarity >= threshold.

    sets: gives a document's sorted shingles; keys: (D, bands) uint64, where documents that share
    a key in a band are candidates. Documents not in `order` stay on their own.
    """
    result = no_clusters(len(keys))
    shared = _shared(keys, order)
    tables: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(keys.shape[1])]
    members: dict[int, list[int]] = {}
    for index in order:
        bands = np.flatnonzero(shared[index]).tolist()
        if not bands:
            continue
        slots = [(tables[band], int(keys[index, band])) for band in bands]
        met = Counter(other for table, key in slots for other in table.get(key, ()))
        best, similarity = _most_similar(sets, index, met, threshold)
        if best is None:
            for table, key in slots:
                if len(table[key]) < MOST_IN_BAND:
                    table[key].append(index)
            members[index] = [index]
        else:
            result.representative[index], result.similarity[index] = best, similarity
            members[best].append(index)
    for group in members.values():
        result.pairs.extend(_pairs(sets, group, result, threshold))
    return result


def _shared(keys: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Which keys at least two documents of `order` have in a band: (D, bands) bool."""
    shared = np.zeros(keys.shape, bool)
    chosen = np.asarray(order, np.int64)
    for band in range(keys.shape[1]):
        _, inverse, times = np.unique(keys[chosen, band], return_inverse=True, return_counts=True)
        shared[chosen, band] = times[inverse] > 1
    return shared


def _most_similar(
    sets: Callable[[int], np.ndarray], index: int, met: Counter[int], threshold: float
) -> tuple[int | None, float]:
    """The representative most similar to `index`, if one reaches the threshold."""
    best, highest = None, threshold
    # most_common keeps the order of first meeting among equals, which the bands and the order of
    # documents determine.
    for other, _ in met.most_common(MOST_COMPARED):
        similarity = _similarity(sets(index), sets(other), highest)
        if similarity >= highest and (best is None or similarity > highest):
            best, highest = other, similarity
    return best, highest


def _similarity(a: np.ndarray, b: np.ndarray, least: float) -> float:
    """Jaccard similarity, or 0 where the sizes alone keep it below `least`."""
    if min(len(a), len(b)) < least * max(len(a), len(b)):
        return 0.0
    return jaccard(a, b)


def _pairs(
    sets: Callable[[int], np.ndarray], group: list[int], found: Clusters, threshold: float
) -> list[Duplicate]:
    """Verified pairs of a cluster: all with the representative, and among the first members."""
    pairs = [Duplicate(index, group[0], float(found.similarity[index])) for index in group[1:]]
    for place, first in enumerate(group[1:STAND_INS], start=1):
        for index in group[place + 1 :]:
            similarity = _similarity(sets(index), sets(first), threshold)
            if similarity >= threshold:
                pairs.append(Duplicate(index, first, similarity))
    return pairs
