"""How many tokens each source gave."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from llm.evaluation.section import Bar, Bars, Section, Table
from llm.step import Inputs
from llm.tokens.shards import Shard
from llm.words import millions

NOTHING = {"documents": 0, "bytes": 0, "tokens": 0}


def show(inputs: Inputs) -> Iterator[Section]:
    """Training and validation tokens of each source, most first."""
    splits = by_source(inputs.get("tokens", ()))
    train, held = splits.get("train", {}), splits.get("validation", {})
    sources = sorted({*train, *held}, key=lambda name: -train.get(name, NOTHING)["tokens"])
    if not sources:
        return
    trained = {name: train.get(name, NOTHING)["tokens"] for name in sources}
    cells = []
    for name in sources:
        ours, theirs = train.get(name, NOTHING), held.get(name, NOTHING)
        per_token = (ours["bytes"] + theirs["bytes"]) / max(1, ours["tokens"] + theirs["tokens"])
        cells.append([name, f"{ours['tokens']:,}", f"{theirs['tokens']:,}", f"{per_token:.2f}"])
    words = "Training tokens: " + ", ".join(f"{name} {count:,}" for name, count in trained.items())
    bars = [Bar(name, count, millions(count), "ours") for name, count in trained.items()]
    yield Section(
        "Tokens per source",
        parts=[
            Bars(bars, "training tokens", words),
            Table(["source", "training", "validation", "bytes per token"], cells),
        ],
        metrics={
            f"tokens.{split}": sum(counts["tokens"] for counts in of.values())
            for split, of in splits.items()
        },
    )


def by_source(folders: Sequence[Path]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts of documents, bytes and tokens by split and source, as the shards' own metadata say."""
    splits: dict[str, dict[str, dict[str, int]]] = {}
    for folder in folders:
        for split in ("train", "validation"):
            for source, counts in Shard.open(folder / f"{split}.arrow").metadata["sources"].items():
                total = splits.setdefault(split, {}).setdefault(source, dict.fromkeys(counts, 0))
                for key, count in counts.items():
                    total[key] += count
    return splits
