"""Nights: what earlier snapshots of a recipe crawled and cleaned, and what tonight adds to it.

A night's artifacts stay as they are: changed code or settings never run an earlier night again.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from llm.runs import Outputs
from llm.store import Reference
from tasks.run import Run


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard of one night: its label, the source and part that it is, and the part's artifact."""

    label: str
    source: str
    part: str
    pages: Reference


@dataclasses.dataclass(frozen=True)
class Night:
    """One snapshot's crawls, by source."""

    snapshot: str
    crawls: Mapping[str, Reference]


def earlier_crawls(run: Run) -> dict[str, Reference]:
    """The crawls of the nights before this one, by "snapshot/source", oldest first.

    Only of sources that the recipe still has. What came out the same for two nights (files that
    nobody changed) is there once.
    """
    before = run.night_before
    if before is None or run.recipe.crawl.nights == "alone":
        return {}
    outputs = before.outputs("crawl") or {}
    chain = dict(outputs.get("earlier", {}))
    for source, reference in outputs["pages"].items():
        if reference not in chain.values():
            chain[f"{before.snapshot}/{source}"] = reference
    sources = run.recipe.crawl.sources
    return {label: ref for label, ref in chain.items() if label.partition("/")[2] in sources}


def night_before(run: Run, source: str) -> list[Reference]:
    """The crawl of a source that the night before made, if it is still there: none or one."""
    before = run.night_before
    if before is None or run.recipe.crawl.nights == "alone":
        return []
    reference = (before.outputs("crawl") or {"pages": {}})["pages"].get(source)
    if reference is None or run.store.read(reference.step, reference.key) is None:
        return []
    return [reference]


def nights(run: Run, crawled: Outputs) -> list[Night]:
    """Every night of a crawl stage's outputs, oldest first; tonight, the last, has what is new."""
    chain = crawled.get("earlier", {})
    found: dict[str, dict[str, Reference]] = {}
    for label, reference in chain.items():
        snapshot, _, source = label.partition("/")
        found.setdefault(snapshot, {})[source] = reference
    tonight = {
        source: reference
        for source, reference in crawled["pages"].items()
        if reference not in chain.values()
    }
    return [*(Night(*item) for item in sorted(found.items())), Night(run.snapshot, tonight)]


def shards(run: Run, night: Night) -> Iterator[Shard]:
    """The shards of a night. Labels name the night where the recipe has more than one."""
    prefix = "" if run.recipe.snapshot == night.snapshot else f"{night.snapshot}/"
    for source, whole in night.crawls.items():
        for part, pages in run.parts(whole).items():
            yield Shard(f"{prefix}{source}-{part}", source, part, pages)
