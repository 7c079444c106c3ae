"""Nights: what earlier snapshots of a recipe crawled and cleaned, and what tonight adds to it.

A night's artifacts stay as they are: changed code or settings never run an earlier night again.
"""

import dataclasses
from collections.abc import Mapping

from llm.runs import Outputs
from llm.store import Reference
from tasks.engine.run import Run


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard of one night: its label, the source and part that it is, and the part's artifact."""

    label: str
    source: str
    part: str
    pages: Reference


def source_of(label: str) -> str:
    """The source that a shard's label names: "docs" of "2026-01-31/docs-00000"."""
    return label.rpartition("/")[2].rpartition("-")[0]


def by_night(labelled: Mapping[str, Reference]) -> list[list[Reference]]:
    """Artifacts by the night that their labels name, oldest first, and by label within a night."""
    found: dict[str, list[Reference]] = {}
    for label in sorted(labelled):
        found.setdefault(label.rpartition("/")[0], []).append(labelled[label])
    return [found[night] for night in sorted(found)]


@dataclasses.dataclass(frozen=True)
class Night:
    """One snapshot's crawls, by source."""

    snapshot: str
    crawls: Mapping[str, Reference]


def earlier_crawls(run: Run) -> dict[str, Reference]:
    """The crawls of the nights before this one, by "snapshot/source", oldest first.

    Only of sources that the recipe still has. A night in which a source came out as it was the
    night before (files that nobody changed) is left out.
    """
    before = run.night_before
    if before is None or run.recipe.crawl.nights == "alone":
        return {}
    outputs = before.outputs("crawl") or {}
    chain = dict(outputs.get("earlier", {}))
    for source, reference in outputs["pages"].items():
        if not _is_known(chain, source, reference):
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
        if not _is_known(chain, source, reference)
    }
    return [*(Night(*item) for item in sorted(found.items())), Night(run.snapshot, tonight)]


def _is_known(chain: Mapping[str, Reference], source: str, reference: Reference) -> bool:
    """Whether a source came out as on the latest night that it changed."""
    own = [label for label in chain if label.partition("/")[2] == source]
    return bool(own) and chain[max(own)].content == reference.content


def shards(run: Run, night: Night, pinned: Outputs) -> list[Shard]:
    """The shards of a night. Labels name the night where the recipe has more than one.

    pinned: what the night before put out, for nights whose crawl is not there any more.
    """
    prefix = "" if run.recipe.snapshot == night.snapshot else f"{night.snapshot}/"
    found = []
    for source, whole in night.crawls.items():
        if run.is_made(whole) and run.store.read(whole.step, whole.key) is None:
            known = pinned.get("pages", {}).items()
            parts = {
                ref.part or "": ref
                for label, ref in known
                if ref.key == whole.key and source_of(label) == source
            }
        else:
            parts = run.parts(whole)
        for part, pages in parts.items():
            found.append(Shard(f"{prefix}{source}-{part}", source, part, pages))
    return found
