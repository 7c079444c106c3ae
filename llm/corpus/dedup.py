"""Duplicates among documents: exact by text, by address, near by MinHash candidates and similarity.

A night's documents are compared with one another and with what earlier nights kept, all by their
signatures. Of those alike, an earlier night's stays; within a night, the longest.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.dedup_settings import DedupSettings, NearSettings, signature_settings
from llm.corpus.documents import CLUSTERS, GROUP_ROWS, PAIRS, content_digest, identity_column
from llm.corpus.near.bands import banding
from llm.corpus.near.clusters import Clusters, Sets, cluster, pairs, shared_slots
from llm.corpus.near.gathering import Gathered
from llm.corpus.near.minhash import band_keys, shingle_sets
from llm.corpus.near.recall import write_recall
from llm.corpus.near.signatures import Spill
from llm.corpus.near.signatures_settings import WORDS
from llm.corpus.score import told
from llm.durable import replacing
from llm.step import Context, Inputs, StepResult, digest_of

LIBRARIES = ("numpy", "numba")

KINDS = ("none", "seen", "exact", "url", "near")
_NONE, _SEEN, _EXACT, _URL, _NEAR = range(5)


class Duplicate(NamedTuple):
    """The document at `position` repeats the one at `of` with this similarity (1.0: the same n-grams)."""

    position: int
    of: int
    similarity: float


def near_duplicates(texts: Iterable[str], threshold: float = 0.8) -> list[Duplicate]:
    """Texts that repeat a longer (or equal) one with Jaccard similarity >= threshold.

    Similarity is over sets of word 5-grams, case and punctuation ignored; of pairs that reach the
    threshold 98 % or more are candidates (`banding`). Texts without words repeat only their equals.
    The longest text of a group is never named; each other one is named once, in the order of `texts`.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}: a similarity lies above 0 and up to 1")
    if isinstance(texts, str):
        raise TypeError("texts is a single str: give a list of texts")
    texts = list(texts)
    # A lone surrogate, as broken JSON has it, has no UTF-8.
    whole = [text.encode("utf-8", "replace").decode() for text in texts]
    flat, bounds = shingle_sets(pa.array(whole, pa.large_string()), WORDS)
    bands, rows = banding(threshold)
    keys = band_keys(flat, bounds, bands, rows)
    order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), texts[index], index))
    has_words = bounds[:-1] < bounds[1:]
    full = np.array([index for index in order if has_words[index]], np.int64)
    shared = shared_slots(lambda band: keys[full, band], bands)
    chosen = full[shared.members]
    found = cluster(shared, Sets(flat, bounds[chosen], bounds[chosen + 1]), threshold)
    named = [
        Duplicate(int(chosen[at]), int(chosen[of]), float(found.similarity[at]))
        for at, of in enumerate(found.representative)
        if of != at
    ]
    first: dict[str, int] = {}
    for index in np.flatnonzero(~has_words).tolist():
        if first.setdefault(texts[index], index) != index:
            named.append(Duplicate(index, first[texts[index]], 1.0))
    return sorted(named)


def find_duplicates(values: DedupSettings, inputs: Inputs, context: Context) -> StepResult:
    """Find a night's duplicates into clusters.parquet and pairs.parquet, for its documents only.

    inputs: signatures (tonight's shards); earlier (signatures of earlier nights) and kept (what
    those nights wrote: other documents of theirs do not count); planted (signatures of planted
    documents, which change nothing for the others) and truth (how they were made).

    clusters: each document's cluster (its representative's doc_id, which may be an earlier
    night's), kind, the document that it repeats and their similarity. Kinds: `seen` (an earlier
    night kept this very document), `exact`, `url` (an earlier night kept another of the same
    address, or tonight brings a longer one), `near`, `none`. pairs: verified pairs inside clusters. planted.json: recall by
    band and precision, where documents were planted. All are the same whatever the order of
    shards and documents. A document takes some hundred bytes of memory, its text none.
    """
    corpus = Gathered(signature_settings(values), inputs, values.url)
    kinds, same = _told_apart(values, corpus)
    context.report.progress(1, 3, "passes")
    alone = Clusters(np.arange(len(corpus)), np.ones(len(corpus)))
    found, verified = alone, _Pairs.none()
    if values.near is not None:
        found, verified = _near(values.near, corpus, kinds, context)
    context.report.progress(2, 3, "passes")
    near = (kinds == _NONE) & (found.representative != np.arange(len(corpus)))
    kinds[near] = _NEAR
    same[near] = found.representative[near]
    similarity = np.where(near, found.similarity, 1.0)
    digests = [
        _write(
            context.out / "clusters.parquet", _cluster_rows(corpus, kinds, same, similarity, found)
        ),
        _write(context.out / "pairs.parquet", _pair_rows(corpus, verified)),
    ]
    planted = None
    if len(corpus.planted) and values.near is not None:
        planted = write_recall(context.out, corpus, kinds != _NONE, same, values.near, inputs)
        digests.append(digest_of([repr(planted)]))
    context.report.progress(3, 3, "passes")
    own = np.bincount(kinds[corpus.fixed : corpus.guests], minlength=len(KINDS)).tolist()
    counts: dict[str, Any] = {"documents": len(corpus.tonight)}
    counts |= {kind: own[at] for at, kind in enumerate(KINDS) if at != _NONE}
    summary = f"{own[_EXACT]:,} exact and {own[_NEAR]:,} near-duplicates of {len(corpus.tonight):,}"
    if own[_SEEN]:
        summary += f", {own[_SEEN]} seen on an earlier night"
    if planted is not None:
        names = ("due", "due_found", "wrong", "recall", "precision")
        counts["planted"] = {name: planted[name] for name in names}
        summary += f"; {told(planted['due'], planted['due_found'], planted['wrong'])}"
    return StepResult(counts=counts, content=digest_of(digests), summary=summary)


def _told_apart(values: DedupSettings, corpus: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of all documents (G,) int8 but for near ones, and the one that each repeats (G,).

    One address at a time is chosen first, so that nothing is a duplicate of what goes for another
    reason; of its documents only those with another text are told `url`.
    """
    kinds = np.full(len(corpus), _NONE, np.int8)
    same = np.arange(len(corpus))
    tonight = slice(corpus.fixed, corpus.guests)
    kinds[tonight][np.isin(corpus.ids[tonight], corpus.ids[: corpus.fixed])] = _SEEN
    rank = corpus.order[corpus.order < corpus.guests]
    texts = corpus.digests("text_digest")
    if values.url:
        open_ones = rank[kinds[rank] == _NONE]
        first = _first_alike(corpus.digests("url_digest"), open_ones)
        other = (first != open_ones) & (open_ones >= corpus.fixed)
        if values.exact == "document":
            other &= texts[first] != texts[open_ones]
        kinds[open_ones[other]] = _URL
        same[open_ones[other]] = first[other]
    if values.exact == "document":
        open_ones = rank[kinds[rank] == _NONE]
        first = _first_alike(texts, open_ones)
        other = (first != open_ones) & (open_ones >= corpus.fixed)
        kinds[open_ones[other]] = _EXACT
        same[open_ones[other]] = first[other]
    return kinds, same


def _first_alike(digests: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """For each document of `rank`, the first one there with the same digest."""
    own = digests[rank]
    order = np.argsort(own, kind="stable")
    starts = np.ones(len(order), bool)
    starts[1:] = own[order[1:]] != own[order[:-1]]
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(order) else order
    return rank[first]


class _Pairs(NamedTuple):
    """Verified pairs by position: `later` repeats `earlier`."""

    later: np.ndarray  # (P,) int64
    earlier: np.ndarray  # (P,) int64
    similarity: np.ndarray  # (P,) float64

    @classmethod
    def none(cls) -> "_Pairs":
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def _near(
    near: NearSettings, corpus: Gathered, kinds: np.ndarray, context: Context
) -> tuple[Clusters, _Pairs]:
    """Clusters over all G documents and verified pairs of tonight's."""
    counts = corpus.numbers("shingles")
    eligible = corpus.order[(counts[corpus.order] > 0) & (kinds[corpus.order] == _NONE)]
    shared = shared_slots(lambda band: corpus.band(band)[eligible], near.banding()[0])
    chosen = eligible[shared.members]
    by_place = np.argsort(chosen)
    spill = Spill(context.work / "shingles.bin", corpus.shingles(chosen[by_place]))
    back = np.argsort(by_place)
    sets = Sets(spill.flat, spill.starts[back], spill.ends[back])
    fixed = int(np.count_nonzero(chosen < corpus.fixed))
    guests = int(np.count_nonzero(chosen < corpus.guests))
    own = cluster(shared, sets, near.similarity, fixed, guests, spill.rest)
    parts = [_Pairs.none()]
    for later, earlier, similarity in pairs(own, sets, near.similarity, slice(fixed, guests)):
        parts.append(_Pairs(chosen[later], chosen[earlier], similarity))
        spill.rest()
    del sets
    spill.remove()
    whole = Clusters(np.arange(len(corpus)), np.ones(len(corpus)))
    whole.representative[chosen] = chosen[own.representative]
    whole.similarity[chosen] = own.similarity
    return whole, _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _cluster_rows(
    corpus: Gathered,
    kinds: np.ndarray,
    same: np.ndarray,
    similarity: np.ndarray,
    found: Clusters,
) -> Iterator[pa.Table]:
    tonight = np.arange(corpus.fixed, corpus.guests)
    tonight = tonight[np.argsort(corpus.ids[tonight])]
    names = pa.array(KINDS)
    for first in range(0, len(tonight), _ROWS_AT_A_TIME):
        rows = tonight[first : first + _ROWS_AT_A_TIME]
        repeats = kinds[rows] != _NONE
        columns = [
            identity_column(corpus.ids[rows]),
            identity_column(corpus.ids[found.representative[same[rows]]]),
            pa.DictionaryArray.from_arrays(pa.array(kinds[rows]), names).cast(pa.string()),
            pa.array(similarity[rows], mask=~repeats | (kinds[rows] == _URL)),
            identity_column(corpus.ids[same[rows]], repeats),
        ]
        yield pa.table(columns, schema=CLUSTERS)
    if not len(tonight):
        yield CLUSTERS.empty_table()


def _pair_rows(corpus: Gathered, found: _Pairs) -> Iterator[pa.Table]:
    order = np.lexsort((corpus.ids[found.earlier], corpus.ids[found.later]))
    for first in range(0, max(1, len(order)), _ROWS_AT_A_TIME):
        rows = order[first : first + _ROWS_AT_A_TIME]
        columns = [
            identity_column(corpus.ids[found.later[rows]]),
            identity_column(corpus.ids[found.earlier[rows]]),
            pa.array(found.similarity[rows]),
        ]
        yield pa.table(columns, schema=PAIRS)


_ROWS_AT_A_TIME = 16 * GROUP_ROWS


def _write(path: Path, tables: Iterable[pa.Table]) -> str:
    """Write tables with the same columns one after the other; returns a digest of their rows."""
    digests = []
    writer: pq.ParquetWriter | None = None
    with replacing(path) as aside:
        for table in tables:
            writer = writer or pq.ParquetWriter(aside, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=GROUP_ROWS)
            digests.append(content_digest(table))
        if writer is not None:
            writer.close()
    return digest_of(digests)
