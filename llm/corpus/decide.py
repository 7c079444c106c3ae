"""What becomes of each document: kept, or dropped for a reason. Reads figures, never text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.consent import refusals
from llm.corpus.decide_settings import DecideAll
from llm.corpus.documents import (
    DECISIONS,
    DOCUMENTS,
    DROPPED,
    EXTRACTED,
    batches,
    by_identity,
    content_digest,
    hash64,
    identities,
    identity_column,
    read_table,
    write_table,
)
from llm.corpus.filters import FilterSettings, failures
from llm.corpus.funnel import KEPT, funnel_rows
from llm.corpus.hooks import schema
from llm.corpus.hooks_settings import HookSettings
from llm.corpus.settle import Settled, settle
from llm.corpus.signals import SCHEMA as SIGNALS
from llm.durable import write_json
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

LIBRARIES = ("numpy",)

CONTAMINATED = "contaminated"
OF_SHARDS = ("documents", "signals", "hooks", "contamination")


@dataclass
class Judged:
    """What the rules say of one shard's D documents, without a look at duplicates."""

    names: list[str]
    failed: np.ndarray  # (D, R) bool, by rule
    sizes: np.ndarray  # (D,) int64, bytes of text
    table: pa.Table  # doc_id, url, source

    @property
    def reasons(self) -> np.ndarray:
        """(D,) int: 0 where nothing fails, else 1 + the first rule that does."""
        first = self.failed.argmax(axis=1) + 1 if self.names else np.zeros(len(self.sizes), int)
        return np.where(self.failed.any(axis=1), first, 0)


@dataclass
class _Corpus:
    """All shards' documents: some fifty bytes each are held."""

    names: list[str] = field(default_factory=list)
    bounds: list[int] = field(default_factory=lambda: [0])
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, "S16"))
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # of the URLs
    split_keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    reasons: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    alone: list[list[int]] = field(default_factory=list)  # a rule: documents, bytes
    parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)  # shards, until joined


def decide(values: DecideAll, inputs: Inputs, context: Context) -> StepResult:
    """Decide on every document: decisions/<shard>.parquet and funnel.json.

    inputs: documents and signals (one folder a shard, in the order of `values.shards`), the one of
    duplicates, and where they are used hooks and contamination (one a shard); kept: what earlier
    nights wrote. Of a cluster's documents that pass the rules, the longest is kept.

    Raises BadInput where nothing is left, naming the rule that dropped most.
    """
    folders = list(inputs["documents"])
    if len({*values.shards}) < len(values.shards) or len(values.shards) != len(folders):
        raise ValueError(
            f"{len(values.shards)} shard names for {len(folders)} folders of documents"
        )
    corpus = _Corpus()
    for number, folder in enumerate(folders):
        own = {name: inputs[name][number] for name in OF_SHARDS if name in inputs}
        _add(corpus, judge(values, {**own, "documents": folder}))
    _join(corpus)
    _split_as_before(corpus, inputs.get("kept", ()))
    settled = settle(corpus, inputs["duplicates"][0])
    files, parts = [], {}
    for number, shard in enumerate(values.shards):
        rows = slice(*corpus.bounds[number : number + 2])
        table = _decisions(folders[number], corpus, settled, rows)
        files.append(context.out / "decisions" / f"{shard}.parquet")
        write_table(files[-1], table)
        parts[shard] = content_digest(table)
        context.report.progress(number + 1, len(values.shards), "shards")
    rows_of_funnel = funnel_rows(folders, files)
    if not (settled.reasons == 0).any() and not values.may_be_empty:
        raise BadInput(_nothing_left(rows_of_funnel, folders, values.filters))
    alone = [
        {"rule": name, "documents": documents, "bytes": size}
        for name, (documents, size) in zip(corpus.names, corpus.alone, strict=True)
    ]
    found = {"rows": rows_of_funnel, "rules": alone, "sources": _by_source(files)}
    write_json(context.out / "funnel.json", found)
    return StepResult(
        counts={
            "in": rows_of_funnel[0]["documents"],
            "kept": rows_of_funnel[-1]["documents"],
            "kept_bytes": rows_of_funnel[-1]["bytes"],
            "dropped": {row["reason"]: row["documents"] for row in rows_of_funnel[1:-1]},
        },
        content=digest_of(f"{shard} {parts[shard]}" for shard in sorted(parts)),
        parts=parts,
        summary=f"{rows_of_funnel[-1]['documents']:,} of "
        f"{counted(rows_of_funnel[0]['documents'], 'document')} kept, {rows_of_funnel[-1]['bytes'] / 1e6:.2f} MB",
    )


def _decisions(documents: Path, corpus: _Corpus, settled: Settled, rows: slice) -> pa.Table:
    """What was decided on the documents of one shard, which are these rows of all."""
    table = read_table(documents / "documents.parquet", EXTRACTED, ["doc_id", "url", "source"])
    names = [KEPT, *corpus.names, *settled.names]
    reasons = pa.DictionaryArray.from_arrays(pa.array(settled.reasons[rows]), pa.array(names))
    columns = {
        **{name: table[name] for name in table.column_names},
        "bytes": pa.array(corpus.sizes[rows]),
        "reason": reasons.cast(pa.string()),
        "duplicate_of": identity_column(settled.duplicate_of[rows], settled.is_duplicate[rows]),
        "split_key": pa.array(settled.split_keys[rows]),
    }
    return by_identity(pa.table(columns, schema=DECISIONS))


def judge(values: DecideAll, folders: Mapping[str, Path]) -> Judged:
    """Ask every rule about one shard: `folders` has its documents and signals, and where they are
    used its hooks and contamination."""
    columns = ["doc_id", "url", "source", "language", "language_score", "licence", "opt_out"]
    documents = read_table(folders["documents"] / "documents.parquet", EXTRACTED, columns)
    measured = read_table(folders["signals"] / "signals.parquet", SIGNALS)
    _check_same(documents, measured, folders, "signals")
    asked = [
        failures(
            values.filters,
            {name: measured[name].to_numpy() for name in SIGNALS.names[1:]},
            np.array(documents["language"].to_pylist(), dtype=str),
            documents["language_score"].to_numpy(),
        ),
        refusals(values.consent, documents["opt_out"], documents["licence"]),
    ]
    if values.hooks:
        asked.append(_refused_by_hooks(values.hooks, documents, folders))
    if "contamination" in folders:
        hits = read_table(
            folders["contamination"] / "hits.parquet", pa.schema([("doc_id", _ID)]), ["doc_id"]
        )
        found = pc.is_in(documents["doc_id"].combine_chunks(), value_set=hits["doc_id"])
        asked.append(([CONTAMINATED], found.to_numpy(zero_copy_only=False)[:, None]))
    return Judged(
        names=[name for names, _ in asked for name in names],
        failed=np.concatenate([failed for _, failed in asked], axis=1),
        sizes=measured["bytes"].to_numpy().astype(np.int64),
        table=documents.select(["doc_id", "url", "source"]),
    )


_ID = EXTRACTED.field("doc_id").type


def _refused_by_hooks(
    hooks: Mapping[str, HookSettings], documents: pa.Table, folders: Mapping[str, Path]
) -> tuple[list[str], np.ndarray]:
    given = read_table(folders["hooks"] / "hooks.parquet", schema(hooks))
    _check_same(documents, given, folders, "hooks")
    columns = [~hook.keeps(given[name].to_numpy()) for name, hook in sorted(hooks.items())]
    return [f"hook.{name}" for name in sorted(hooks)], np.stack(columns, axis=1)


def _check_same(
    documents: pa.Table, other: pa.Table, folders: Mapping[str, Path], name: str
) -> None:
    if not documents["doc_id"].equals(other["doc_id"]):
        raise ValueError(
            f"the documents of {folders['documents']} and the {name} of {folders[name]} are not "
            "the same"
        )


def _add(corpus: _Corpus, judged: Judged) -> None:
    """Take one shard's figures in."""
    if not corpus.names:
        corpus.names = judged.names
        corpus.alone = [[0, 0] for _ in judged.names]
    for at, column in enumerate(judged.failed.T):
        corpus.alone[at][0] += int(column.sum())
        corpus.alone[at][1] += int(judged.sizes[column].sum())
    urls = judged.table["url"]
    keys = np.fromiter(map(hash64, urls.to_pylist()), np.uint64, len(urls))
    lengths = pc.binary_length(urls).to_numpy()
    corpus.bounds.append(corpus.bounds[-1] + len(urls))
    corpus.parts.append(
        (identities(judged.table["doc_id"]), judged.sizes, lengths, keys, judged.reasons)
    )


def _join(corpus: _Corpus) -> None:
    """Put the shards' figures together, once they are all there."""
    if corpus.parts:
        ids, sizes, lengths, keys, reasons = map(np.concatenate, zip(*corpus.parts, strict=True))
        corpus.ids, corpus.sizes, corpus.lengths = ids, sizes, lengths
        corpus.split_keys, corpus.reasons = keys, reasons.astype(np.int16)
    corpus.parts.clear()


def _split_as_before(corpus: _Corpus, earlier: Sequence[Path]) -> None:
    """A page that an earlier night had stays on its side of the split, also when it is edited.

    Its number there may be that of its cluster, lower than that of its own address.
    """
    known: dict[int, int] = {}
    for batch in batches(earlier, ["url", "split_key"], DOCUMENTS):
        keys = np.fromiter(map(hash64, batch["url"].to_pylist()), np.uint64, batch.num_rows)
        before = batch["split_key"].to_numpy()
        for row in np.flatnonzero(before < keys).tolist():
            known[int(keys[row])] = int(before[row])
    if known:
        own = np.fromiter(known, np.uint64, len(known))
        for row in np.flatnonzero(np.isin(corpus.split_keys, own)).tolist():
            corpus.split_keys[row] = known[int(corpus.split_keys[row])]


def _by_source(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Documents and bytes kept of each source."""
    tables = [read_table(path, DECISIONS, ["source", "reason", "bytes"]) for path in files]
    counts: dict[str, list[int]] = {}
    for table in tables:
        grouped = table.group_by(["source", "reason"])
        for row in grouped.aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist():
            pair = counts.setdefault(row["source"], [0, 0])
            if row["reason"] == KEPT:
                pair[0] += row["bytes_count"]
                pair[1] += row["bytes_sum"]
    return [
        {"source": source, "documents": counts[source][0], "bytes": counts[source][1]}
        for source in sorted(counts)
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
            f"none of {counted(total, 'page')} gave a text; most often ({number} times): {reason}. Check that "
            "the sources hold text or HTML"
        )
    preset, _, name = reason.partition(".")
    if preset in settings.presets and name:
        bound = getattr(getattr(settings, preset), name)
        now = "a language's own" if bound is None else f"{bound:g}"
        advice = f"set clean.filters.{reason} (now {now}) to a milder value or to null"
    elif reason == "language":
        allowed = ", ".join(settings.languages)
        advice = (
            f"clean.filters.languages allows only {allowed}"
            if allowed
            else "lower clean.filters.min_language_scores"
        )
    elif preset == "hook":
        advice = f"clean.hooks.{name} is a filter of your own: set its bound lower or leave it out"
    else:
        advice = "check that the sources hold text"
    return f"the filters leave none of {counted(total, 'document')}; {reason} dropped most ({number}): {advice}"
