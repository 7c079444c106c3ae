"""Duplicates among documents: exact by text, near by MinHash candidates and Jaccard similarity."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa

from llm.corpus.clusters import Clusters, Duplicate, cluster, no_clusters
from llm.corpus.documents import (
    CLUSTERS,
    EXTRACTED,
    PAIRS,
    batches,
    by_identity,
    content_digest,
    write_rows,
    write_table,
)
from llm.corpus.minhash import band_keys, shingles
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("numpy", "python")

# 14 bands of 8 rows (FineWeb's): a pair of similarity 0.8 is found with 92 %, of 0.85 with 99 %.
WORDS, BANDS, ROWS = 5, 14, 8


@section
class NearSettings:
    """What a near-duplicate is."""

    similarity: float = setting(
        default=0.8, description="Least Jaccard similarity of word n-grams (0 to 1).", gt=0, le=1
    )
    words: int = setting(default=WORDS, description="Words in an n-gram (count).", ge=1, le=20)
    bands: int = setting(
        default=BANDS, description="MinHash bands (count): more find more candidates.", ge=1, le=200
    )
    rows: int = setting(
        default=ROWS, description="MinHash values a band (count): more find fewer.", ge=1, le=50
    )


@section
class DedupSettings:
    """Which duplicates are looked for."""

    exact: Literal["document", "none"] = setting(
        default="document", description="Exact duplicates: by the whole document's text, or none."
    )
    near: NearSettings | None = setting(
        default=NearSettings, description="Near-duplicates; null: not looked for."
    )


def near_duplicates(texts: Sequence[str], threshold: float = 0.8) -> list[Duplicate]:
    """Texts that repeat a longer (or equal) one with Jaccard similarity >= threshold.

    Similarity is over sets of word 5-grams, case and punctuation ignored. The longest text of a
    group is never named; each other one is named once, in the order of `texts`.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}: a similarity lies above 0 and up to 1")
    sets = shingles(texts, WORDS)
    order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), texts[index], index))
    order = [index for index in order if len(sets[index])]
    found = cluster(sets.__getitem__, _keys(sets, BANDS, ROWS), order, threshold)
    return [
        Duplicate(index, int(of), float(found.similarity[index]))
        for index, of in enumerate(found.representative)
        if of != index
    ]


def find_duplicates(values: DedupSettings, inputs: Inputs, context: Context) -> StepResult:
    """Find the duplicates among all documents into clusters.parquet and pairs.parquet.

    clusters: each document's cluster (its representative's doc_id), kind (exact, near, none), the
    document that it repeats and their similarity. pairs: verified pairs inside clusters. Both are
    the same whatever the order of documents.
    """
    corpus = _Corpus(values.near)
    spill = context.work / "shingles.bin"
    with spill.open("wb") as file:
        for rows in batches(inputs["documents"], ["doc_id", "url", "text"], EXTRACTED):
            corpus.add(rows, file)
            context.report.progress(len(corpus.ids), None, "documents")
    order = sorted(range(len(corpus.ids)), key=corpus.ranks.__getitem__)
    exact = np.arange(len(order))
    if values.exact == "document":
        first_of_text: dict[bytes, int] = {}
        for index in order:
            exact[index] = first_of_text.setdefault(corpus.digests[index], index)
    found = no_clusters(len(order))
    if values.near is not None:
        distinct = [i for i in order if exact[i] == i and corpus.ends[i] > corpus.starts[i]]
        found = cluster(corpus.reader(spill), corpus.keys(), distinct, values.near.similarity)
    clusters, pairs = _tables(corpus.ids, exact, found)
    write_table(context.out / "clusters.parquet", clusters)
    write_rows(context.out / "pairs.parquet", pairs)
    spill.unlink()
    kinds = Counter(clusters["kind"].to_pylist())
    return StepResult(
        counts={"documents": len(order), "exact": kinds["exact"], "near": kinds["near"]},
        content=content_digest(by_identity(clusters), pairs),
        summary=f"{kinds['exact']} exact and {kinds['near']} near-duplicates of {len(order)}",
    )


class _Corpus:
    """What is kept of every document: some hundred bytes; shingles lie in a file."""

    def __init__(self, near: NearSettings | None) -> None:
        self._near = near
        self._keys: list[np.ndarray] = []
        self.ids: list[bytes] = []
        self.ranks: list[tuple[int, int, str, bytes]] = []  # best first: longest, shortest URL
        self.digests: list[bytes] = []
        self.starts: list[int] = []  # of its shingles in the file (count)
        self.ends: list[int] = []

    def add(self, rows: pa.RecordBatch, file: IO[bytes]) -> None:
        texts = rows["text"].to_pylist()
        for identity, url, text in zip(
            rows["doc_id"].to_pylist(), rows["url"].to_pylist(), texts, strict=True
        ):
            data = text.encode()
            self.ids.append(identity)
            self.ranks.append((-len(data), len(url), url, identity))
            self.digests.append(hashlib.blake2b(data, digest_size=16).digest())
        if self._near is None:
            return
        sets = shingles(texts, self._near.words)
        self._keys.append(_keys(sets, self._near.bands, self._near.rows))
        for values in sets:
            self.starts.append(self.ends[-1] if self.ends else 0)
            self.ends.append(self.starts[-1] + len(values))
            file.write(values.astype("<u8").tobytes())

    def keys(self) -> np.ndarray:
        return np.concatenate(self._keys) if self._keys else np.zeros((0, 1), np.uint64)

    def reader(self, path: Path) -> Callable[[int], np.ndarray]:
        """A function from a document's position to its shingles, read from the file when asked."""
        if not path.stat().st_size:
            return lambda index: np.zeros(0, np.uint64)
        values = np.memmap(path, dtype="<u8", mode="r")
        return lambda index: values[self.starts[index] : self.ends[index]]


def _keys(sets: Sequence[np.ndarray], bands: int, rows: int) -> np.ndarray:
    """Band keys (D, bands); those of empty sets mean nothing."""
    keys = np.zeros((len(sets), bands), np.uint64)
    full = [index for index, values in enumerate(sets) if len(values)]
    if full:
        keys[full] = band_keys([sets[index] for index in full], bands, rows)
    return keys


def _tables(ids: list[bytes], exact: np.ndarray, found: Clusters) -> tuple[pa.Table, pa.Table]:
    """The two tables: exact (D,) is the first document with the same text, by position."""
    rows = []
    for index, identity in enumerate(ids):
        same = int(exact[index])
        of, kind, similarity = int(found.representative[same]), "near", found.similarity[same]
        cluster_of = of
        if same != index:
            of, kind, similarity = same, "exact", 1.0
        elif of == index:
            kind = "none"
        row = {"doc_id": identity, "cluster": ids[cluster_of], "kind": kind}
        alone = kind == "none"
        rows.append(
            row
            | {
                "similarity": None if alone else float(similarity),
                "of": None if alone else ids[of],
            }
        )
    pairs = [
        {"doc_id": ids[pair.position], "of": ids[pair.of], "similarity": pair.similarity}
        for pair in found.pairs
    ]
    pairs.sort(key=lambda pair: (pair["doc_id"], pair["of"]))
    return (
        pa.Table.from_pylist(rows, schema=CLUSTERS),
        pa.Table.from_pylist(pairs, schema=PAIRS),
    )
