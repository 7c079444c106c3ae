"""A look into a corpus: samples of what was kept and dropped, with what decided it."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.archive.pages import Page
from llm.corpus.decide import DecideAll, judge
from llm.corpus.documents import (
    CLUSTERS,
    DECISIONS,
    DOCUMENTS,
    DROPPED,
    EXTRACTED,
    SIDECAR,
    identities,
    open_table,
    read_table,
)
from llm.corpus.filters import rules
from llm.corpus.pii import KINDS
from llm.corpus.signals import SCHEMA as SIGNALS
from llm.step import BadInput

KEPT = "kept"
NOT_WRITTEN = "not_written"
"""Kept by the rules, and left out as the shard was written: taken down, outdated, or all cut."""

# One row a page: what became of it, and where its text is.
ROWS = pa.schema(
    [
        *(DECISIONS.field(name) for name in ("doc_id", "url", "source", "bytes", "reason")),
        DECISIONS.field("duplicate_of"),
        ("night", pa.int32()),
        ("shard", pa.int32()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Night:
    """What was decided on one night's documents.

    inputs: folders, as the step that decided was given them, in the order of `values.shards`;
    decisions: its tables by shard; written: folders by shard, those that are in the store.
    """

    snapshot: str
    values: DecideAll
    inputs: Mapping[str, Sequence[Path]]
    decisions: Mapping[str, Path]
    written: Mapping[str, Path]


def outcomes(nights: Sequence[Night]) -> pa.Table:
    """Every page of a corpus and what became of it (ROWS); those without a text are among them."""
    tables = []
    for number, night in enumerate(nights):
        for at, shard in enumerate(night.values.shards):
            decided = _without_unwritten(
                read_table(night.decisions[shard], DECISIONS), night.written.get(shard)
            )
            unread = read_table(night.inputs["documents"][at] / "dropped.parquet", DROPPED)
            source = pa.array([shard.rpartition("-")[0]] * unread.num_rows, pa.string())
            unread = unread.append_column("source", source)
            for table in (decided, unread):
                columns = {
                    field.name: table[field.name]
                    if field.name in table.column_names
                    else pa.nulls(table.num_rows, field.type)
                    for field in list(ROWS)[:-2]
                }
                place = {
                    "night": pa.array(np.full(table.num_rows, number, np.int32)),
                    "shard": pa.array(np.full(table.num_rows, at, np.int32)),
                }
                tables.append(pa.table({**columns, **place}, schema=ROWS))
    return pa.concat_tables(tables or [ROWS.empty_table()])


def left_out(nights: Sequence[Night]) -> np.ndarray:
    """Ids (S16) of what the rules keep and no shard has: see NOT_WRITTEN."""
    rows = outcomes(nights)
    return identities(rows.filter(pc.equal(rows["reason"], NOT_WRITTEN))["doc_id"])


def _without_unwritten(decided: pa.Table, written: Path | None) -> pa.Table:
    if written is None:
        return decided
    ids = read_table(written / "documents.parquet", DOCUMENTS, ["doc_id"])["doc_id"]
    left_out = pc.and_(
        pc.equal(decided["reason"], KEPT),
        pc.invert(pc.is_in(decided["doc_id"], value_set=ids.combine_chunks())),
    )
    reasons = pc.if_else(left_out, NOT_WRITTEN, decided["reason"])
    return decided.set_column(decided.column_names.index("reason"), "reason", reasons)


def sample(
    nights: Sequence[Night],
    *,
    reason: str | None = None,
    kept: bool | None = None,
    source: str | None = None,
    count: int = 3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Examples of each reason (`count` at most, drawn by `seed`), those kept first.

    reason: only this one, or all of a preset's; kept: only those kept, or only those dropped.
    Each tells doc_id, url, source, language, night, shard, reason, bytes, text (None for a page that
    gave none), evidence (which figures fail which bounds), duplicate_of and masked (counts by
    kind). Raises BadInput where nothing is like that.
    """
    rows = outcomes(nights)
    chosen = np.ones(rows.num_rows, bool)
    reasons = np.array(rows["reason"].to_pylist(), dtype=str)
    if reason is not None:
        chosen &= (reasons == reason) | np.char.startswith(reasons, f"{reason}.")
    if kept is not None:
        chosen &= (reasons == KEPT) == kept
    if source is not None:
        chosen &= pc.equal(rows["source"], source).to_numpy()
    if not chosen.any():
        found = Counter(reasons.tolist())
        sources = ", ".join(sorted(filter(None, pc.unique(rows["source"]).to_pylist())))
        raise BadInput(
            "no document is like that; reasons are "
            + ", ".join(f"{name} ({times:,})" for name, times in found.most_common())
            + f"; sources are {sources}"
        )
    times = Counter(reasons[chosen].tolist())
    draw = np.random.default_rng(seed)
    examples: list[dict[str, Any]] = []
    for name in sorted(times, key=lambda one: (one != KEPT, -times[one], one)):
        places = np.flatnonzero(chosen & (reasons == name))
        drawn = np.sort(draw.permutation(places)[:count])
        examples += rows.take(pa.array(drawn)).to_pylist()
    return _told(nights, examples, rows)


def _told(
    nights: Sequence[Night], examples: list[dict[str, Any]], rows: pa.Table
) -> list[dict[str, Any]]:
    """The examples with their texts and what decided them."""
    groups: dict[tuple[int, int], list[bytes]] = {}
    for row in examples:
        groups.setdefault((row["night"], row["shard"]), []).append(row["doc_id"])
    known = {
        place: _Shard(nights[place[0]], place[1], frozenset(ids)) for place, ids in groups.items()
    }
    others = _addresses(rows, {row["duplicate_of"] for row in examples} - {None})
    told = []
    for row in examples:
        shard = known[row["night"], row["shard"]]
        told.append(shard.tell(row, others))
    return told


def _addresses(rows: pa.Table, ids: set[bytes]) -> dict[bytes, str]:
    if not ids:
        return {}
    wanted = pc.is_in(rows["doc_id"], value_set=pa.array(sorted(ids), rows["doc_id"].type))
    found = rows.filter(wanted)
    return dict(zip(found["doc_id"].to_pylist(), found["url"].to_pylist(), strict=True))


class _Shard:
    """What one shard knows of some of its documents."""

    def __init__(self, night: Night, at: int, ids: frozenset[bytes]) -> None:
        self.night = night
        self.name = night.values.shards[at]
        folder = night.inputs["documents"][at]
        self.documents = rows_of(folder / "documents.parquet", EXTRACTED, ids)
        self.sidecar = rows_of(folder / "sidecar.parquet", SIDECAR, ids)
        self.signals = rows_of(night.inputs["signals"][at] / "signals.parquet", SIGNALS, ids)
        clusters = night.inputs["duplicates"][0] / "clusters.parquet"
        self.clusters = rows_of(clusters, CLUSTERS, ids)
        self.written: dict[bytes, dict[str, Any]] = {}
        if self.name in night.written:
            path = night.written[self.name] / "documents.parquet"
            self.written = rows_of(path, DOCUMENTS, ids)
        own = {name: paths[at] for name, paths in night.inputs.items() if name != "duplicates"}
        judged = judge(night.values, own)
        self.failing: dict[bytes, list[str]] = {}
        listed = judged.table["doc_id"].to_pylist()
        for place, identity in enumerate(listed):
            if identity in ids:
                failed = judged.failed[place]
                self.failing[identity] = [judged.names[rule] for rule in np.flatnonzero(failed)]

    def tell(self, row: dict[str, Any], others: Mapping[bytes, str]) -> dict[str, Any]:
        identity = row["doc_id"]
        document = self.documents.get(identity, {})
        written = self.written.get(identity)
        text = written["text"] if written else document.get("text")
        place = self.sidecar.get(identity, {})
        return {
            "doc_id": identity.hex(),
            "url": row["url"],
            "source": row["source"],
            "language": document.get("language"),
            "night": self.night.snapshot,
            "shard": self.name,
            "reason": row["reason"],
            "bytes": row["bytes"],
            "fetched_at": _known(place.get("fetched_at")),
            "position": place.get("position") or None,
            "evidence": list(self._evidence(identity, document)),
            "duplicate_of": self._duplicate_of(row, others),
            "masked": masked_words(written["text"], document.get("text", "")) if written else {},
            "text": text,
        }

    def _evidence(self, identity: bytes, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Each rule that the document fails: the figure and its bounds, or the words."""
        values = self.night.values
        bounds = {rule.name: rule for rule in rules(values.filters)}
        for name in self.failing.get(identity, ()):
            rule = bounds.get(name)
            if rule is not None:
                signal = rule.signal_in(document.get("language", ""))
                told: dict[str, Any] = {"value": self.signals[identity].get(signal)}
                low, high = rule.languages.get(document.get("language", ""), (rule.low, rule.high))
                told |= {
                    end: float(bound)
                    for end, bound in (("low", low), ("high", high))
                    if np.isfinite(bound)
                }
                yield {"rule": name, "signal": signal, **told}
            elif name == "language":
                score = document.get("language_score")
                yield {"rule": name, "value": document.get("language"), "score": score}
            else:
                yield {"rule": name, "value": document.get(name)}

    def _duplicate_of(
        self, row: dict[str, Any], others: Mapping[bytes, str]
    ) -> dict[str, Any] | None:
        of = row["duplicate_of"]
        if of is None:
            return None
        similarity = self.clusters.get(row["doc_id"], {}).get("similarity")
        return {"doc_id": of.hex(), "url": others.get(of), "similarity": similarity}


def rows_of(path: Path, schema: pa.Schema, ids: frozenset[bytes]) -> dict[bytes, dict[str, Any]]:
    """The rows of some documents in a table, by doc_id; a few thousand rows are in memory at once."""
    wanted = pa.array(sorted(ids), schema.field("doc_id").type)
    found: dict[bytes, dict[str, Any]] = {}
    with open_table(path, schema) as file:
        for batch in file.iter_batches(batch_size=2048, columns=list(schema.names)):
            mask = pc.is_in(batch["doc_id"], value_set=wanted)
            if pc.any(mask).as_py():
                found.update((row["doc_id"], row) for row in batch.filter(mask).to_pylist())
    return found


def _known(moment: str | None) -> str | None:
    """When a page was fetched; None where that is not known, as of many files."""
    return None if moment == Page.fetched_at else moment


def masked_words(text: str, before: str) -> dict[str, int]:
    """How many words of a text stand in for personal data, by kind."""
    counts = {kind: text.count(f"<{kind}>") - before.count(f"<{kind}>") for kind in KINDS}
    return {kind: times for kind, times in counts.items() if times > 0}
