"""Clean: pages → documents worth training on, and a table of why each other one was dropped.

Tonight's pages are cleaned; what earlier nights made of theirs stays as it is.
"""

import json
from collections.abc import Sequence

from llm.corpus import decide, dedup, extract, signals, write
from llm.corpus.decide import DecideAll
from llm.corpus.extract import ExtractShard
from llm.corpus.write import WriteShard
from llm.runs import Outputs
from llm.store import Reference
from tasks.erasure import renew, taken_down, tombstones
from tasks.nights import Night, Shard, nights, shards
from tasks.run import Run, Stages
from tasks.step import Call, Step

EXTRACT = Step("extract", extract.extract)
SIGNALS = Step("signals", signals.measure)
DUPLICATES = Step("duplicates", dedup.find_duplicates)
DECIDE = Step("decide", decide.decide)
WRITE = Step("write", write.write)

KINDS = ("documents", "extracted", "signals", "decisions")
"""What clean puts out: artifacts by shard, but decisions by night."""


def clean(run: Run, stages: Stages) -> Outputs:
    """Clean every night that has not been cleaned yet, oldest first; tonight is the last."""
    before = run.night_before
    pinned = (before.outputs("clean") if before is not None else None) or {}
    done: Outputs = {kind: {} for kind in KINDS}
    every = nights(run, stages["crawl"])
    for number, night in enumerate(every):
        own = list(shards(run, night))
        names = [shard.label for shard in own]
        if night is not every[-1] and all(name in pinned.get("documents", {}) for name in names):
            _take(run, pinned, night, names, done)
            continue
        drop = run.recipe.clean.outdated == "drop"
        renew(run, WRITE, done, tombstones(run, night, every[:number]) if drop else {})
        if own:
            _clean(run, night, own, done)
    return done


def _take(run: Run, pinned: Outputs, night: Night, names: Sequence[str], done: Outputs) -> None:
    """An earlier night, as it was cleaned then."""
    for kind in KINDS:
        wanted = [night.snapshot] if kind == "decisions" else names
        found = {name: ref for name in wanted if (ref := pinned.get(kind, {}).get(name))}
        done[kind].update(found)
    for name in names:
        run.take(f"write {name}", done["documents"][name], f"as {night.snapshot} left it")


def _clean(run: Run, night: Night, own: Sequence[Shard], done: Outputs) -> None:
    """Extract and measure each shard, find duplicates among all, decide, write each shard."""
    settings = run.recipe.clean
    names = [shard.label for shard in own]

    def each(step: Step, values: object, **inputs: Sequence[Reference]) -> list[Reference]:
        """One call a shard."""
        calls = [
            Call(step, values, {name: [refs[at]] for name, refs in inputs.items()}, label)
            for at, label in enumerate(names)
        ]
        return run.map(calls)

    documents = run.map(
        [
            Call(
                EXTRACT,
                ExtractShard(source=shard.source, part=shard.part, settings=settings.extract),
                {"pages": [shard.pages]},
                shard.label,
            )
            for shard in own
        ]
    )
    measured = each(SIGNALS, signals.SignalSettings(), documents=documents)
    duplicates = run.step(Call(DUPLICATES, settings.dedup, {"documents": documents}))
    in_file = [f"{shard.source}-{shard.part}" for shard in own]
    values = DecideAll(
        shards=tuple(in_file),
        filters=settings.filters,
        consent=settings.consent,
        may_be_empty=bool(done["documents"]),
    )
    decided = run.step(
        Call(
            DECIDE,
            values,
            {"documents": documents, "signals": measured, "duplicates": [duplicates]},
        )
    )
    decisions = run.parts(decided)
    funnel = json.loads((run.store.local(decided) / "funnel.json").read_text("utf8"))
    run.table("corpus-funnel", funnel["rows"], "Documents and bytes in, dropped by reason, kept.")
    written = run.map(
        [
            Call(
                WRITE,
                WriteShard(shard=part, pii=settings.pii, erased=taken_down(run, document)),
                {"documents": [document], "decisions": [decisions[part]]},
                label,
            )
            for label, part, document in zip(names, in_file, documents, strict=True)
        ]
    )
    for kind, made in (("documents", written), ("extracted", documents), ("signals", measured)):
        done[kind].update(zip(names, made, strict=True))
    done["decisions"][night.snapshot] = decided
