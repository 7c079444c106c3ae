"""What becomes of each document: kept, or dropped for a reason. Reads figures, never text."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import (
    CLUSTERS,
    DECISIONS,
    DROPPED,
    EXTRACTED,
    PAIRS,
    by_identity,
    content_digest,
    hash64,
    read_table,
    write_table,
)
from llm.corpus.filters import FilterSettings, failures
from llm.corpus.funnel import KEPT, funnel_rows
from llm.corpus.signals import SCHEMA as SIGNALS
from llm.durable import write_json
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult, digest_of

LIBRARIES = ("numpy",)

EXACT, NEAR = "exact_duplicate", "near_duplicate"


@section
class DecideAll:
    """All shards of a corpus and the rules."""

    shards: tuple[str, ...] = setting(description="Names of the shards, in the inputs' order.")
    filters: FilterSettings = setting(
        default=FilterSettings, description="Which documents are kept."
    )


@dataclass
class _Corpus:
    """Columns over the N documents of all shards, and what is decided on each."""

    shard: np.ndarray  # (N,) int64, which shard it lies in
    table: pa.Table  # doc_id, url, source, language, language_score and signals
    ids: list[bytes]
    urls: list[str]
    sizes: np.ndarray  # (N,) int64, bytes of text
    reasons: list[str]
    duplicate_of: list[bytes | None]


def decide(values: DecideAll, inputs: Inputs, context: Context) -> StepResult:
    """Decide on every document: decisions/<shard>.parquet and funnel.json.

    inputs: documents and signals (one folder a shard, in the order of `values.shards`) and the one
    of duplicates. Of a cluster's documents that pass the filters, the longest is kept.

    Raises BadInput where nothing is left, naming the rule that dropped most.
    """
    folders = list(inputs["documents"])
    if len({*values.shards}) < len(values.shards) or len(values.shards) != len(folders):
        raise ValueError(
            f"{len(values.shards)} shard names for {len(folders)} folders of documents"
        )
    corpus = _load(folders, list(inputs["signals"]))
    names, failed = _judge(corpus, values.filters)
    clusters = _clusters(corpus, inputs["duplicates"][0])
    _drop_duplicates(corpus, clusters, inputs["duplicates"][0])
    split_keys = _split_keys(corpus, clusters)
    files, parts = [], {}
    for number, shard in enumerate(values.shards):
        table = _decisions(corpus, split_keys, np.flatnonzero(corpus.shard == number))
        files.append(context.out / "decisions" / f"{shard}.parquet")
        write_table(files[-1], table)
        parts[shard] = content_digest(table)
        context.report.progress(number + 1, len(values.shards), "shards")
    rows = funnel_rows(folders, files)
    if KEPT not in corpus.reasons:
        raise BadInput(_nothing_left(rows, folders, values.filters))
    alone = [
        {"rule": name, "documents": int(column.sum()), "bytes": int(corpus.sizes[column].sum())}
        for name, column in zip(names, failed.T, strict=True)
    ]
    sources = _by_source(corpus)
    write_json(context.out / "funnel.json", {"rows": rows, "rules": alone, "sources": sources})
    return StepResult(
        counts={
            "in": rows[0]["documents"],
            "kept": rows[-1]["documents"],
            "kept_bytes": rows[-1]["bytes"],
            "dropped": {row["reason"]: row["documents"] for row in rows[1:-1]},
        },
        content=digest_of(f"{shard} {parts[shard]}" for shard in sorted(parts)),
        parts=parts,
        summary=f"{rows[-1]['documents']} of {rows[0]['documents']} documents kept, "
        f"{rows[-1]['bytes'] / 1e6:.2f} MB",
    )


def _load(folders: Sequence[Path], measured: Sequence[Path]) -> _Corpus:
    columns = ["doc_id", "url", "source", "language", "language_score"]
    tables, shard = [], []
    for number, (folder, signals_folder) in enumerate(zip(folders, measured, strict=True)):
        documents = read_table(folder / "documents.parquet", EXTRACTED, columns)
        signals = read_table(signals_folder / "signals.parquet", SIGNALS)
        if not documents["doc_id"].equals(signals["doc_id"]):
            raise ValueError(
                f"the documents of {folder} and the signals of {signals_folder} are not the same"
            )
        for name in SIGNALS.names[1:]:
            documents = documents.append_column(name, signals[name])
        tables.append(documents)
        shard += [number] * documents.num_rows
    table = pa.concat_tables(tables)
    return _Corpus(
        shard=np.array(shard, np.int64),
        table=table,
        ids=table["doc_id"].to_pylist(),
        urls=table["url"].to_pylist(),
        sizes=table["bytes"].to_numpy().astype(np.int64),
        reasons=[KEPT] * table.num_rows,
        duplicate_of=[None] * table.num_rows,
    )


def _judge(corpus: _Corpus, settings: FilterSettings) -> tuple[list[str], np.ndarray]:
    """Note the first rule that each document fails; returns (rule names, which fail (N, R))."""
    table = corpus.table
    names, failed = failures(
        settings,
        {name: table[name].to_numpy() for name in SIGNALS.names[1:]},
        np.array(table["language"].to_pylist(), dtype=str),
        table["language_score"].to_numpy(),
    )
    for index in np.flatnonzero(failed.any(axis=1)):
        corpus.reasons[index] = names[int(failed[index].argmax())]
    return names, failed


def _clusters(corpus: _Corpus, duplicates: Path) -> list[list[tuple[int, bytes]]]:
    """Clusters of at least two documents, as (position, id of the document that has its text)."""
    table = read_table(duplicates / "clusters.parquet", CLUSTERS)
    place = {identity: index for index, identity in enumerate(corpus.ids)}
    listed = table["doc_id"].to_pylist()
    if place.keys() != set(listed):
        raise ValueError("the table of duplicates is of other documents than those to decide on")
    groups: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
    columns = (listed, *(table[name].to_pylist() for name in ("cluster", "kind", "of")))
    for identity, cluster, kind, of in zip(*columns, strict=True):
        groups[cluster].append((place[identity], of if kind == "exact" else identity))
    return [group for group in groups.values() if len(group) > 1]


def _drop_duplicates(
    corpus: _Corpus, clusters: Iterable[list[tuple[int, bytes]]], duplicates: Path
) -> None:
    """Of each cluster's documents that pass, keep the longest and whatever does not repeat it.

    Where the filters drop the cluster's representative, the rest are compared with one another by
    the pairs on record: nothing goes as a duplicate of what it was not verified against.
    """
    pairs = read_table(duplicates / "pairs.parquet", PAIRS)
    alike = set(zip(pairs["doc_id"].to_pylist(), pairs["of"].to_pylist(), strict=True))
    for group in clusters:
        passing = [member for member in group if corpus.reasons[member[0]] == KEPT]
        passing.sort(key=lambda member: _rank(corpus, member[0]))
        kept: dict[bytes, bytes] = {}  # text → the document that is kept for it
        for index, text in passing:
            if text in kept:
                corpus.reasons[index], corpus.duplicate_of[index] = EXACT, kept[text]
                continue
            of = next((o for o in kept if (text, o) in alike or (o, text) in alike), None)
            if of is None:
                kept[text] = corpus.ids[index]
            else:
                corpus.reasons[index], corpus.duplicate_of[index] = NEAR, kept[of]


def _rank(corpus: _Corpus, index: int) -> tuple[int, int, str, bytes]:
    """Best first: the longest text, then the shortest URL. The same order as in dedup."""
    url = corpus.urls[index]
    return -int(corpus.sizes[index]), len(url), url, corpus.ids[index]


def _split_keys(corpus: _Corpus, clusters: Iterable[list[tuple[int, bytes]]]) -> np.ndarray:
    """The number that decides between training and validation (N,) uint64, one for a cluster."""
    keys = np.array([hash64(url) for url in corpus.urls], dtype=np.uint64)
    for group in clusters:
        members = [index for index, _ in group]
        keys[members] = keys[members].min()
    return keys


def _decisions(corpus: _Corpus, split_keys: np.ndarray, members: np.ndarray) -> pa.Table:
    """The rows of one shard."""
    chosen = corpus.table.take(pa.array(members))
    places = members.tolist()
    columns = {
        "doc_id": chosen["doc_id"],
        "url": chosen["url"],
        "source": chosen["source"],
        "bytes": pa.array(corpus.sizes[members]),
        "reason": pa.array([corpus.reasons[place] for place in places], pa.string()),
        "duplicate_of": pa.array([corpus.duplicate_of[place] for place in places], pa.binary(16)),
        "split_key": pa.array(split_keys[members]),
    }
    return by_identity(pa.table(columns, schema=DECISIONS))


def _by_source(corpus: _Corpus) -> list[dict[str, Any]]:
    documents: Counter[str] = Counter()
    size: Counter[str] = Counter()
    columns = (corpus.table["source"].to_pylist(), corpus.reasons, corpus.sizes.tolist())
    for source, reason, length in zip(*columns, strict=True):
        documents[source] += reason == KEPT
        size[source] += length if reason == KEPT else 0
    return [
        {"source": source, "documents": documents[source], "bytes": size[source]}
        for source in sorted(documents)
    ]


def _nothing_left(
    rows: list[dict[str, Any]], folders: Sequence[Path], settings: FilterSettings
) -> str:
    """Why the corpus is empty and what to do."""
    if len(rows) == 2:
        return "the crawl gave no page at all: check the sources' seeds, paths and limits"
    reason, number, total = rows[1]["reason"], rows[1]["documents"], rows[0]["documents"]
    unread = sum(
        read_table(folder / "dropped.parquet", DROPPED, ["reason"]).num_rows for folder in folders
    )
    if unread == total:
        return (
            f"none of {total} pages gave a text; most often ({number} times): {reason}. Check that "
            "the sources hold text or HTML"
        )
    preset, _, name = reason.partition(".")
    if name:
        bound = getattr(getattr(settings, preset), name)
        advice = f"set clean.filters.{reason} (now {bound:g}) to a milder value or to null"
    elif reason == "language":
        advice = f"clean.filters.languages allows only {', '.join(settings.languages)}"
    else:
        advice = "check that the sources hold text"
    return (
        f"the filters leave none of {total} documents; {reason} dropped most ({number}): {advice}"
    )
