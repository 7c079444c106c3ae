"""What other thresholds would keep and drop, from the figures of a run: no text is read."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from llm.corpus.decide import DecideAll, judge
from llm.corpus.documents import hash64, identities
from llm.corpus.settle import settle
from llm.step import Inputs

KEPT = "kept"


@dataclasses.dataclass
class Judgement:
    """What rules and duplicates make of N documents. Columns are in the order of the shards."""

    names: list[str]  # of the R rules, in the order they are asked
    failed: np.ndarray  # (N, R) bool
    ids: np.ndarray  # (N,) S16
    sizes: np.ndarray  # (N,) int64, bytes of text
    lengths: np.ndarray  # (N,) int32, of the URLs
    split_keys: np.ndarray  # (N,) uint64
    duplicates: Path

    def reasons(self, without: str | None = None, rules: bool = True) -> np.ndarray:
        """The first reason that each document is dropped for, or "kept": (N,) str.

        without: a rule that is left out. rules: whether any of them is asked at all.
        """
        failed = self.failed if rules else np.zeros_like(self.failed)
        if without is not None:
            failed = failed.copy()
            failed[:, self.names.index(without)] = False
        first = np.zeros(len(self.ids), np.int16)
        if self.names:
            first = np.where(failed.any(axis=1), 1 + failed.argmax(axis=1), 0).astype(np.int16)
        settled = settle(_Columns(self, first), self.duplicates)
        found = np.array([KEPT, *self.names, *settled.names])[settled.reasons]
        return np.asarray(found)


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
        for name in ("names", "ids", "sizes", "lengths", "split_keys"):
            setattr(self, name, getattr(judgement, name))


def judgement(values: DecideAll, inputs: Inputs) -> Judgement:
    """Ask every rule about every document. `inputs` are those of the step that decides."""
    parts = []
    for number in range(len(values.shards)):
        own = {name: paths[number] for name, paths in inputs.items() if name != "duplicates"}
        judged = judge(values, own)
        urls = judged.table["url"]
        parts.append(
            (
                judged.failed,
                identities(judged.table["doc_id"]),
                judged.sizes,
                pc.binary_length(urls).to_numpy(),
                np.fromiter(map(hash64, urls.to_pylist()), np.uint64, len(urls)),
            )
        )
    failed, ids, sizes, lengths, keys = map(np.concatenate, zip(*parts, strict=True))
    duplicates = inputs["duplicates"][0]
    return Judgement(judged.names, failed, ids, sizes, lengths, keys, duplicates)


def whatif(nights: Sequence[tuple[DecideAll, DecideAll, Inputs]]) -> dict[str, Any]:
    """What changes between two sets of rules, as plain numbers. nights: rules before and after, and
    what the step that decides was given.

    {"before": tally, "after": tally, "moved": {"in": size, "out": size}}; a tally is {"documents",
    "bytes", "kept": size, "rules": [{"rule", "alone": size, "first": size, "only": size}]} and a
    size {"documents", "bytes"}. alone: all that the rule drops if it is asked by itself; first:
    what it is the first to drop; only: what would be kept without it.
    """
    told = [_night(*night) for night in nights]
    return {
        **{side: _sum_tallies([night[side] for night in told]) for side in ("before", "after")},
        "moved": {way: _sum([night["moved"][way] for night in told]) for way in ("in", "out")},
    }


def _night(before: DecideAll, after: DecideAll, inputs: Inputs) -> dict[str, Any]:
    one, two = judgement(before, inputs), judgement(after, inputs)
    reasons = one.reasons(), two.reasons()
    was, will = (found == KEPT for found in reasons)
    return {
        "before": tally(one, reasons[0]),
        "after": tally(two, reasons[1]),
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


def tally(found: Judgement, reasons: np.ndarray) -> dict[str, Any]:
    """Documents and bytes by rule, then by kind of duplicate. reasons: those of `found`."""
    rows = []
    times = found.failed.sum(axis=1)
    for name, column in zip(found.names, found.failed.T, strict=True):
        only = np.zeros(len(times), bool)
        # A document that two rules drop is not kept without one of them.
        if (column & (times == 1)).any():
            only = (reasons != KEPT) & (found.reasons(without=name) == KEPT)
        rows.append(
            {
                "rule": name,
                "alone": _size(found, column),
                "first": _size(found, reasons == name),
                "only": _size(found, only),
            }
        )
    alone = found.reasons(rules=False)
    for name in sorted({*np.unique(alone), *np.unique(reasons)} - {KEPT, *found.names}):
        # Duplicates are looked at last: what goes as one would be kept.
        joint = _size(found, reasons == name)
        rows.append(
            {"rule": str(name), "alone": _size(found, alone == name), "first": joint, "only": joint}
        )
    return {
        **_size(found, np.ones(len(times), bool)),
        "kept": _size(found, reasons == KEPT),
        "rules": rows,
    }


def _size(found: Judgement, rows: np.ndarray) -> dict[str, int]:
    return {"documents": int(rows.sum()), "bytes": int(found.sizes[rows].sum())}


def by_rule(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A tally's rows by name."""
    return {row["rule"]: row for row in told["rules"]}
