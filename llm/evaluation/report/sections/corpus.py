"""What became of the documents, and how well duplicates and evaluation items were found."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.corpus.score import told
from llm.evaluation.report.inputs import read_json
from llm.evaluation.section import Bar, Bars, Card, Section, Table
from llm.step import Inputs

NAMES = {"in": "came in", "kept": "kept"}
ORDER = {"in": 0, "dropped": 1, "kept": 2}


def show(inputs: Inputs) -> Iterator[Section]:
    """The funnel, and both searches where something was planted for them to find."""
    rows = funnel(inputs.get("funnel", ()))
    if rows:
        yield _funnel(rows)
    planted = next(iter(_planted(inputs.get("duplicates", ()))), None)
    if planted is not None:
        yield _duplicates(planted)
    together = _together(_planted(inputs.get("contamination", ())))
    if together is not None:
        yield _contamination(together)


def funnel(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of all decisions together: in, dropped by each reason with the most first, kept."""
    together: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in folders:
        for row in read_json(folder / "funnel.json")["rows"]:
            total = together.setdefault(
                (row["outcome"], row["reason"]), {**row, "documents": 0, "bytes": 0}
            )
            total["documents"] += row["documents"]
            total["bytes"] += row["bytes"]
    return sorted(
        together.values(),
        key=lambda row: (ORDER[row["outcome"]], -row["documents"], row["reason"]),
    )


def _funnel(rows: Sequence[Mapping[str, Any]]) -> Section:
    came, kept = rows[0], rows[-1]
    bars = [
        Bar(
            NAMES.get(row["outcome"], row["reason"]),
            row["documents"],
            f"{row['documents']:,}",
            "plain" if row["outcome"] == "dropped" else "ours",
        )
        for row in rows
    ]
    cells = [
        [
            NAMES.get(row["outcome"], f"dropped: {row['reason']}"),
            f"{row['documents']:,}",
            f"{row['bytes']:,}",
        ]
        for row in rows
    ]
    words = f"{kept['documents']:,} of {came['documents']:,} documents were kept"
    return Section(
        "Corpus funnel",
        f"{words}. Every document is in exactly one row.",
        parts=[
            Bars(bars, "documents", words),
            Table(["", "documents", "bytes"], cells, [0, len(rows) - 1]),
        ],
        cards=[
            Card(f"{kept['documents']:,}", "documents kept"),
            Card(f"{kept['bytes'] / 1e6:.2f} MB", "of clean text"),
        ],
        metrics={
            f"corpus.{row['outcome']}.{unit}": row[unit]
            for row in rows
            if row["outcome"] in NAMES
            for unit in ("documents", "bytes")
        },
    )


def _duplicates(planted: Mapping[str, Any]) -> Section:
    """How many planted near-duplicates were found, by how alike they are to their origins."""
    bands = planted["bands"]
    rows = [
        [
            f"{band['from']:.2f} to {band['to']:.2f}",
            f"{band['documents']:,}",
            _percent(band["found"]),
            _percent(band["theory"]),
        ]
        for band in bands
    ]
    due = [n for n, band in enumerate(bands) if band["from"] >= planted["threshold"]]
    found = {
        f"duplicates.planted.found.{band['from']:.2f}-{band['to']:.2f}": band["found"]
        for band in bands
    }
    return Section(
        "Search for near-duplicates",
        f"{_said(planted)}. They are edits of real documents: from a similarity of "
        f"{planted['threshold']:g} on they should be found. MinHash: how many meet by theory.",
        parts=[Table(["similarity", "planted", "found", "MinHash"], rows, due)],
        metrics=_known({**_scores("duplicates", planted), **found}),
    )


def _contamination(planted: Mapping[str, Any]) -> Section:
    """How many planted evaluation items were found, by what had been done to them."""
    rows = [
        [words, f"{counts['planted']:,}", f"{counts['found']:,}"]
        for which, form in (("kinds", "{}"), ("near_misses", "none: {}"))
        for words, counts in ((form.format(kind), one) for kind, one in planted[which].items())
    ]
    found = {
        f"contamination.planted.found.{kind}": _share(counts["found"], counts["planted"])
        for kind, counts in planted["kinds"].items()
    }
    return Section(
        "Search for evaluation items",
        f"{_said(planted)}. They were put into copies of documents, as they are or changed.",
        parts=[Table(["item", "planted", "found"], rows, range(len(planted["kinds"])))],
        metrics=_known({**_scores("contamination", planted), **found}),
    )


def _planted(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What searches found of what was planted; nothing may have been."""
    paths = [folder / "planted.json" for folder in folders]
    return [read_json(path) for path in paths if path.exists()]


def _together(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What all shards found of planted evaluation items: counts by kind, and shares of all."""
    if not shards:
        return None
    sums: dict[str, dict[str, dict[str, int]]] = {"kinds": {}, "near_misses": {}}
    for shard in shards:
        for which, kinds in sums.items():
            for kind, counts in shard[which].items():
                total = kinds.setdefault(kind, {"planted": 0, "found": 0})
                for name in total:
                    total[name] += counts[name]
    due, right = (sum(one[name] for one in sums["kinds"].values()) for name in ("planted", "found"))
    wrong = sum(one["found"] for one in sums["near_misses"].values())
    shares = {"recall": _share(right, due), "precision": _share(right, right + wrong)}
    return {**sums, "due": due, "due_found": right, "wrong": wrong, **shares}


def _scores(kind: str, planted: Mapping[str, Any]) -> dict[str, float | None]:
    names = ("due", "recall", "precision")
    return {f"{kind}.planted.{name}": planted.get(name) for name in names}


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _said(planted: Mapping[str, Any]) -> str:
    return told(planted["due"], planted["due_found"], planted["wrong"]).capitalize()


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
