"""Clusters of near-duplicates round a representative, every member verified against it.

Documents come in one order: best first. Each joins the most similar earlier representative of
which it is a duplicate, or becomes a representative itself. Nobody is a duplicate by way of a
third document: chains of pairs would swallow whole sources.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

# Of the representatives that share a band with a document, as many are compared with it, those
# that share most bands first: pages made from one template must not cost the square of their number.
MOST_COMPARED = 64
# Representatives that a band remembers for one key. Such crowds come from templates, and what is
# truly alike in them meets in other bands.
MOST_IN_BAND = 256
# Of a cluster, as many documents are compared with all its others, so that one of them can stand
# in where filters drop the representative.
STAND_INS = 16
# Documents that are clustered between two calls of `rest`.
CHUNK = 4096


class Slots(NamedTuple):
    """The M documents that share a key with another one, and in which bands."""

    members: np.ndarray  # (M,) int64, positions, ascending
    slots: np.ndarray  # (M, bands) int32: the number of the key; -1 where nobody shares it
    distinct: int  # keys that somebody shares


class Sets(NamedTuple):
    """Sets of shingles: that of member m is flat[starts[m]:ends[m]], sorted, without repeats."""

    flat: np.ndarray  # uint32
    starts: np.ndarray  # (M,) int64
    ends: np.ndarray  # (M,) int64


class Clusters(NamedTuple):
    """Clusters among M documents."""

    representative: np.ndarray  # (M,) int64: whom each belongs to; itself where to nobody
    similarity: np.ndarray  # (M,) float64 to the representative


def shared_slots(keys: Callable[[int], np.ndarray], bands: int) -> Slots:
    """Find who shares keys with whom: keys(band) gives the (D,) uint64 of one band, asked twice.

    One band at a time is held, and of the D documents only those that share a key.
    """
    repeated: list[np.ndarray] = []
    sharing = np.zeros(0, bool)
    for band in range(bands):
        own = keys(band)
        ordered = np.sort(own)
        repeated.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
        hit = _places(repeated[band], own) >= 0
        sharing = hit if band == 0 else sharing | hit
    members = np.flatnonzero(sharing)
    slots = np.full((len(members), bands), -1, np.int32)
    count = 0
    for band, values in enumerate(repeated):
        places = _places(values, keys(band)[members])
        slots[:, band] = np.where(places < 0, -1, places + count)
        count += len(values)
    return Slots(members, slots, count)


def _places(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted number is among the sorted `values`, -1 where nowhere."""
    if not len(values):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[at] == wanted, at, -1)


def cluster(
    shared: Slots,
    sets: Sets,
    threshold: float,
    fixed: int = 0,
    guests: int | None = None,
    rest: Callable[[int], None] = lambda done: None,
) -> Clusters:
    """Cluster the members of `shared`, best first, by Jaccard similarity >= threshold.

    sets: the members' shingles, in the same order. The first `fixed` members are
    representatives whatever they resemble (those of earlier nights), and who is a duplicate of one
    of them joins it rather than a later one. From `guests` on, members join but are never joined.
    `rest` is called between chunks with the number done, so that a caller can free mapped memory.
    """
    from llm.corpus.near import kernels  # numba takes half a second to import

    count = len(shared.members)
    of, similarity = np.arange(count), np.ones(count)
    lists = np.zeros((shared.distinct, 3), np.int32)
    entries = np.zeros((1 + int((shared.slots >= 0).sum()), 2), np.int32)
    last_guest = count if guests is None else guests
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count)
        kernels.join(
            first, last, fixed, last_guest, shared.slots, lists, entries, *sets,
            float(threshold), MOST_COMPARED, MOST_IN_BAND, of, similarity,
        )  # fmt: skip
        rest(last)
    return Clusters(of, similarity)


def pairs(
    found: Clusters, sets: Sets, threshold: float, among: slice
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Verified pairs inside clusters: (later, earlier, similarity), some clusters at a time.

    All members of a cluster with its representative, and the first STAND_INS members with all
    after them, where the representative and the members lie `among` these documents; where only
    the members do, each with the representative.
    """
    from llm.corpus.near import kernels

    own = np.arange(among.start, among.stop)
    joined = own[found.representative[own] != own]
    joined = joined[np.argsort(found.representative[joined], kind="stable")]
    leaders = found.representative[joined]
    yield joined, leaders, found.similarity[joined]
    edges = np.flatnonzero(leaders[1:] != leaders[:-1]) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(joined))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start > 1 and leaders[start] >= among.start:
            members = joined[start:end]
            yield kernels.pairs_among(members, *sets, float(threshold), STAND_INS - 1)
