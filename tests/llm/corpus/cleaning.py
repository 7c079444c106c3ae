"""Runs all steps of cleaning on small corpora, as the flow chains them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.corpus.decide import DecideAll, decide
from llm.corpus.dedup import DedupSettings, find_duplicates, signature_settings
from llm.corpus.documents import DECISIONS, DOCUMENTS, read_table
from llm.corpus.extract import ExtractSettings, ExtractShard, extract
from llm.corpus.filters import FilterSettings
from llm.corpus.near.signatures import sign
from llm.corpus.signals import SignalSettings, measure
from llm.corpus.write import WriteShard, write
from llm.step import Context, StepFunction, StepResult
from tests.llm.corpus.crawls import make_texts

ANYTHING = FilterSettings(presets=())
Texts = Sequence[tuple[str, str]]


@dataclass
class Cleaned:
    """The artifacts of each step, by shard where there is one a shard."""

    root: Path
    shards: Sequence[str]
    results: dict[str, StepResult] = field(default_factory=dict)

    def step(
        self, name: str, run: StepFunction, values: Any, inputs: Mapping[str, Sequence[Path]]
    ) -> Path:
        out, work = self.root / name, self.root / "work" / name
        out.mkdir(parents=True)
        work.mkdir(parents=True)
        self.results[name] = run(values, inputs, Context(out=out, work=work))
        return out

    def paths(self, step: str) -> list[Path]:
        return [self.root / f"{step}-{shard}" for shard in self.shards]

    def duplicates(self, name: str, documents: Sequence[Path], values: DedupSettings) -> Path:
        """Sign documents and find the duplicates among them."""
        how = signature_settings(values)
        signed = [
            self.step(f"{name}-signed-{at}", sign, how, {"documents": [folder]})
            for at, folder in enumerate(documents)
        ]
        return self.step(name, find_duplicates, values, {"signatures": signed})

    def decisions(self) -> dict[str, dict[str, Any]]:
        """What became of each document, by URL."""
        tables = [
            read_table(self.root / f"decide/decisions/{shard}.parquet", DECISIONS)
            for shard in self.shards
        ]
        return {row["url"]: row for table in tables for row in table.to_pylist()}

    def documents(self) -> dict[str, dict[str, Any]]:
        """The documents that were written, by URL."""
        tables = [read_table(path / "documents.parquet", DOCUMENTS) for path in self.paths("write")]
        return {row["url"]: row for table in tables for row in table.to_pylist()}

    def funnel(self) -> dict[str, Any]:
        return json.loads((self.root / "decide/funnel.json").read_text())


def extract_all(root: Path, shards: Mapping[str, Texts]) -> Cleaned:
    """Extract, measure and find duplicates, but do not decide yet."""
    done = Cleaned(root, sorted(shards))
    for shard in done.shards:
        crawl = make_texts(root / f"crawl-{shard}", shards[shard])
        values = ExtractShard(source="s", part="00000", settings=ExtractSettings())
        folder = done.step(f"extract-{shard}", extract, values, {"pages": [crawl]})
        done.step(f"signals-{shard}", measure, SignalSettings(), {"documents": [folder]})
    return done


def clean(
    root: Path,
    shards: Mapping[str, Texts],
    filters: FilterSettings = ANYTHING,
    dedup: DedupSettings | None = None,
    pii: tuple[str, ...] = ("email", "ip"),
) -> Cleaned:
    """All steps. Sources' name is s, shards are named by the keys."""
    done = extract_all(root, shards)
    documents = done.paths("extract")
    duplicates = done.duplicates("duplicates", documents, dedup or DedupSettings())
    inputs = {
        "documents": documents,
        "signals": done.paths("signals"),
        "duplicates": [duplicates],
    }
    values = DecideAll(shards=tuple(done.shards), filters=filters)
    decided = done.step("decide", decide, values, inputs)
    for shard, folder in zip(done.shards, documents, strict=True):
        done.step(
            f"write-{shard}",
            write,
            WriteShard(shard=shard, pii=pii),
            {"documents": [folder], "decisions": [decided]},
        )
    return done
