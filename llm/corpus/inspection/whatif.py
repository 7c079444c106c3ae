"""What other thresholds would keep and drop, from the figures of a run: no text is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from llm.corpus.decide import OF_SHARDS, DecideAll, judge
from llm.corpus.documents import identities
from llm.corpus.inspection.browse import NOT_WRITTEN
from llm.corpus.settle import NAMES, settle
from llm.step import Inputs

KEPT = 0
AFTER_RULES = (*NAMES, NOT_WRITTEN)
"""What takes a document that passes all rules: its duplicates, then what came as it was written."""
_NOBODY = np.zeros(0, "S16")


@dataclasses.dataclass
class Judgement:
    """What rules and duplicates make of N documents. Columns are in the order of the shards."""

    names: list[str]  # of the R rules, in the order they are asked
    failed: np.ndarray  # (N, R) bool
    ids: np.ndarray  # (N,) S16
    sizes: np.ndarray  # (N,) int64, bytes of text
    lengths: np.ndarray  # (N,) int32, of the URLs
    duplicates: Path
    left_out: np.ndarray  # (N,) bool: in no shard, whatever the rules say

    def reasons(self, forgiven: int = 0) -> np.ndarray:
        """Why each document is dropped (N,) int: 0 kept, r + 1 by rule r first, -k - 1 for
        what else there is: AFTER_RULES[k].

        forgiven: documents that fail at most this many rules pass.
        """
        failed = self.failed & (self.failed.sum(axis=1) > forgiven)[:, None]
        first = np.zeros(len(self.ids), np.int16)
        if self.names:
            first = np.where(failed.any(axis=1), 1 + failed.argmax(axis=1), 0).astype(np.int16)
        found = settle(_Columns(self, first), self.duplicates).reasons
        found = np.where(found > len(self.names), len(self.names) - found, found)
        return np.where((found == KEPT) & self.left_out, -len(AFTER_RULES), found)


@dataclasses.dataclass
class _Columns:
    """What settling duplicates looks at."""

    judgement: dataclasses.InitVar[Judgement]
    reasons: np.ndarray
    names: list[str] = dataclasses.field(init=False)
    ids: np.ndarray = dataclasses.field(init=False)
    sizes: np.ndarray = dataclasses.field(init=False)
    lengths: np.ndarray = dataclasses.field(init=False)
    split_keys: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self, judgement: Judgement) -> None:
        for name in ("names", "ids", "sizes", "lengths"):
            setattr(self, name, getattr(judgement, name))
        # Who is held out changes nothing of what is kept.
        self.split_keys = np.zeros(len(self.ids), np.uint64)


def judgement(values: DecideAll, inputs: Inputs, left_out: np.ndarray) -> Judgement:
    """Ask every rule about every document. `inputs` are those of the step that decides."""
    parts = []
    for number in range(len(values.shards)):
        own = {name: inputs[name][number] for name in OF_SHARDS if name in inputs}
        judged = judge(values, own)
        parts.append(
            (
                judged.failed,
                identities(judged.table["doc_id"]),
                judged.sizes,
                pc.binary_length(judged.table["url"]).to_numpy(),
            )
        )
    failed, ids, sizes, lengths = map(np.concatenate, zip(*parts, strict=True))
    duplicates = inputs["duplicates"][0]
    gone = np.isin(ids, left_out)
    return Judgement(judged.names, failed, ids, sizes, lengths, duplicates, gone)


def whatif(
    nights: Sequence[tuple[DecideAll, DecideAll, Inputs]], left_out: np.ndarray = _NOBODY
) -> dict[str, Any]:
    """What changes between two sets of rules, as plain numbers. nights: rules before and after, and
    what the step that decides was given; left_out: ids of what is kept and not written (taken down,
    say), which no rule brings back.

    {"before": tally, "after": tally, "moved": {"in": size, "out": size}}; a tally is {"documents",
    "bytes", "kept": size, "rules": [{"rule", "alone": size, "first": size, "only": size}]} and a
    size {"documents", "bytes"}. alone: all that the rule drops if it is asked by itself; first:
    what it is the first to drop; only: what would be kept without it. (Of two duplicates that two
    rules hold back, one each, the longer is counted.)
    """
    told = [_night(*night, left_out) for night in nights]
    return {
        **{side: _sum_tallies([night[side] for night in told]) for side in ("before", "after")},
        "moved": {way: _sum([night["moved"][way] for night in told]) for way in ("in", "out")},
    }


def _night(
    before: DecideAll, after: DecideAll, inputs: Inputs, left_out: np.ndarray
) -> dict[str, Any]:
    one, two = (judgement(values, inputs, left_out) for values in (before, after))
    reasons = one.reasons(), two.reasons()
    was, will = (found == KEPT for found in reasons)
    bare = one.reasons(forgiven=len(one.names))
    return {
        "before": tally(one, reasons[0], bare),
        "after": tally(two, reasons[1], bare),
        "moved": {"in": _size(one, ~was & will), "out": _size(one, was & ~will)},
    }


def _sum_tallies(tallies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = [by_rule(told) for told in tallies]
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        **_sum(tallies),
        "kept": _sum([told["kept"] for told in tallies]),
        "rules": [
            {
                "rule": name,
                **{
                    kind: _sum([row[name][kind] for row in rows if name in row])
                    for kind in ("alone", "first", "only")
                },
            }
            for name in names
        ],
    }


def _sum(sizes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {unit: sum(int(size[unit]) for size in sizes) for unit in ("documents", "bytes")}


def tally(found: Judgement, reasons: np.ndarray, bare: np.ndarray) -> dict[str, Any]:
    """Documents and bytes by rule, then by what else there is.

    reasons: those of `found`; bare: what they would be if no rule were asked.
    """
    rows = []
    held_by_one = found.failed.sum(axis=1) == 1
    if held_by_one.any():
        held_by_one &= found.reasons(forgiven=1) == KEPT
    for rule, (name, column) in enumerate(zip(found.names, found.failed.T, strict=True)):
        rows.append(
            {
                "rule": name,
                "alone": _size(found, column),
                "first": _size(found, reasons == rule + 1),
                "only": _size(found, column & held_by_one),
            }
        )
    for kind, name in enumerate(AFTER_RULES):
        # These are looked at last: what goes for one would be kept.
        alone, joint = (_size(found, codes == -kind - 1) for codes in (bare, reasons))
        if alone["documents"] or joint["documents"]:
            rows.append({"rule": name, "alone": alone, "first": joint, "only": joint})
    return {
        **_size(found, np.ones(len(reasons), bool)),
        "kept": _size(found, reasons == KEPT),
        "rules": rows,
    }


def _size(found: Judgement, rows: np.ndarray) -> dict[str, int]:
    return {"documents": int(rows.sum()), "bytes": int(found.sizes[rows].sum())}


def by_rule(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A tally's rows by name."""
    return {row["rule"]: row for row in told["rules"]}
