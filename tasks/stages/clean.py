"""Clean: pages → documents worth training on, and a table of why each other one was dropped.

Tonight's pages are cleaned; what earlier nights made of theirs stays as it is.
"""

import json
from collections.abc import Sequence

from llm.corpus.clean import CleanSettings
from llm.corpus.decide_settings import DecideAll
from llm.corpus.dedup_settings import signature_settings
from llm.corpus.extract_settings import ExtractSettings, ExtractShard
from llm.corpus.near.planted_settings import PlantSettings
from llm.corpus.repeats_settings import RepeatedAll
from llm.corpus.signals_settings import identity as signals_identity
from llm.corpus.write_settings import WriteShard
from llm.fingerprint import plain
from llm.runs import Outputs
from llm.store import Reference
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step
from tasks.stages.erasure import renew, taken_down, tombstones
from tasks.stages.examine import contamination, hooked, passages
from tasks.stages.nights import Night, Shard, nights, shards, source_of

EXTRACT = Step("extract", "llm.corpus.extract:extract", holds="extracted")
SIGNALS = Step("signals", "llm.corpus.signals:measure")
SIGN = Step("signatures", "llm.corpus.near.signatures:sign")
PLANT = Step("plant", "llm.corpus.near.planted:plant", holds="copies")
DUPLICATES = Step("duplicates", "llm.corpus.dedup:find_duplicates")
DECIDE = Step("decide", "llm.corpus.decide:decide", rewritten=True)
REPEATS = Step("repeats", "llm.corpus.repeats:find_repeated")
WRITE = Step("write", "llm.corpus.write:write", holds="documents", rewritten=True)

OF_SHARDS = ("documents", "extracted", "signals", "signatures", "pages")
OF_NIGHTS = ("decisions", "repeats")


def clean(run: Run, stages: Stages) -> Outputs:
    """Clean every night that has not been cleaned yet, oldest first; tonight is the last.

    Puts out artifacts by shard (documents, extracted, signals, signatures, and the pages that they
    come from), the shards of earlier nights among them, and by night (decisions, repeats).
    """
    before = run.night_before
    pinned = (before.outputs("clean") if before is not None else None) or {}
    done: Outputs = {kind: {} for kind in (*OF_SHARDS, *OF_NIGHTS)}
    every = nights(run, stages["crawl"])
    for number, night in enumerate(every):
        own = shards(run, night, pinned)
        tonight = night is every[-1]
        if not tonight and _take(run, pinned, night, own, done):
            continue
        if run.recipe.clean.outdated == "drop":
            crawls = stages["crawl"]["pages"] if tonight else night.crawls
            renew(run, WRITE, done, tombstones(run, crawls, every[:number]))
        else:
            renew(run, WRITE, done, {})
        if own:
            _clean(run, night, own, done, may_be_empty=bool(done["documents"]) or not tonight)
    return done


def _take(run: Run, pinned: Outputs, night: Night, own: Sequence[Shard], done: Outputs) -> bool:
    """Take an earlier night as it was cleaned then; False where it was not, or is other pages now."""
    labels = {(source_of(name), ref): name for name, ref in pinned.get("pages", {}).items()}
    if not all((shard.source, shard.pages) in labels for shard in own):
        return False
    for shard in own:
        for kind in OF_SHARDS:
            done[kind][shard.label] = pinned[kind][labels[shard.source, shard.pages]]
        run.take(
            f"write {shard.label}", done["documents"][shard.label], f"as {night.snapshot} left it"
        )
    for kind in OF_NIGHTS:
        known = pinned.get(kind, {})
        done[kind].update({name: known[name] for name in [night.snapshot] if name in known})
    return True


def _clean(
    run: Run, night: Night, own: Sequence[Shard], done: Outputs, *, may_be_empty: bool
) -> None:
    """Extract and measure each shard, find duplicates among all, decide, write each shard."""
    settings = run.recipe.clean
    labels = [shard.label for shard in own]
    names = [f"{shard.source}-{shard.part}" for shard in own]
    documents = run.map([_extract(shard, settings.extract) for shard in own])
    each = list(zip(labels, documents, strict=True))
    how, measuring = settings.signals, signals_identity(settings.signals)
    measured = run.map(
        [Call(SIGNALS, how, {"documents": [one]}, label, measuring) for label, one in each]
    )
    signing = signature_settings(settings.dedup)
    signed = run.map([Call(SIGN, signing, {"documents": [one]}, label) for label, one in each])
    duplicates = _duplicates(run, documents, signed, done)
    examined = {"documents": documents, "signals": measured, "duplicates": [duplicates]}
    if settings.hooks:
        examined["hooks"] = hooked(run, each)
    found = contamination(run, each) if settings.decontaminate.sets else []
    if found and settings.decontaminate.action == "drop":
        examined["contamination"] = found
    values = DecideAll(
        shards=tuple(names),
        filters=settings.filters,
        consent=settings.consent,
        hooks=settings.hooks,
        may_be_empty=may_be_empty,
    )
    if done["documents"]:
        examined["kept"] = list(done["documents"].values())
    decided = run.step(Call(DECIDE, values, examined))
    parts = run.parts(decided)
    _show_funnel(run, decided)
    erased = [taken_down(run, document) for document in documents]
    spans = None
    if settings.passages is not None:
        repeated = RepeatedAll(
            shards=tuple(names),
            settings=settings.passages,
            erased=tuple(sorted(one for ids in erased for one in ids)),
        )
        done["repeats"][night.snapshot] = _repeats(run, repeated, each, decided, done)
        spans = run.parts(done["repeats"][night.snapshot])
    writes = []
    for number, (label, document) in enumerate(each):
        name = names[number]
        wanted = {"documents": [document], "decisions": [parts[name]]}
        if spans is not None:
            wanted["spans"] = [spans[name]]
        if found and settings.decontaminate.action == "cut":
            wanted["contamination"] = [found[number]]
        writes.append(Call(WRITE, _writing(settings, name, erased[number]), wanted, label))
    made = (run.map(writes), documents, measured, signed, [shard.pages for shard in own])
    for kind, references in zip(OF_SHARDS, made, strict=True):
        done[kind].update(zip(labels, references, strict=True))
    done["decisions"][night.snapshot] = decided


def _extract(shard: Shard, settings: ExtractSettings) -> Call:
    how = ExtractShard(source=shard.source, part=shard.part, settings=settings)
    return Call(EXTRACT, how, {"pages": [shard.pages]}, shard.label)


def _show_funnel(run: Run, decided: Reference) -> None:
    funnel = json.loads((run.store.local(decided) / "funnel.json").read_text("utf8"))
    run.table("corpus-funnel", funnel["rows"], "Documents and bytes in, dropped by reason, kept.")


def _writing(settings: CleanSettings, shard: str, erased: tuple[str, ...]) -> WriteShard:
    lines = settings.filters.c4 if "c4" in settings.filters.presets else None
    return WriteShard(shard=shard, pii=settings.pii, lines=lines, erased=erased)


def _repeats(
    run: Run,
    how: RepeatedAll,
    each: Sequence[tuple[str, Reference]],
    decided: Reference,
    done: Outputs,
) -> Reference:
    """Passages that tonight's kept documents repeat, also from the nights before."""
    inputs = {"passages": passages(run, each), "decisions": [decided]}
    inputs["earlier"] = list(done["repeats"].values())
    inputs["kept"] = list(done["documents"].values()) if inputs["earlier"] else []
    return run.step(Call(REPEATS, how, inputs))


def _duplicates(
    run: Run, documents: Sequence[Reference], signed: Sequence[Reference], done: Outputs
) -> Reference:
    """Duplicates among tonight's documents and the earlier nights' kept ones, and planted ones."""
    settings, number = run.recipe.clean.dedup, run.recipe.clean.planted
    inputs = {"signatures": list(signed)}
    if done["documents"]:
        inputs["earlier"] = _earlier_signatures(run, done)
        inputs["kept"] = list(done["documents"].values())
    if number and settings.near is not None:
        how = PlantSettings(documents=number, words=settings.near.words)
        plant = run.step(Call(PLANT, how, {"documents": list(documents)}))
        signing = signature_settings(settings)
        inputs["planted"] = [run.step(Call(SIGN, signing, {"documents": [plant]}, "planted"))]
        inputs["truth"] = [plant]
    duplicates = run.step(Call(DUPLICATES, settings, inputs))
    if "planted" in inputs and run.is_made(duplicates):
        report = run.store.local(duplicates) / "planted.json"
        if report.is_file():
            bands = json.loads(report.read_text("utf8"))["bands"]
            run.table("planted-duplicates", bands, "Planted near-duplicates, found by similarity.")
    return duplicates


def _earlier_signatures(run: Run, done: Outputs) -> list[Reference]:
    """The signatures of earlier nights, made again where they were made with other settings."""
    how = signature_settings(run.recipe.clean.dedup)
    calls = {}
    for label, reference in done["signatures"].items():
        artifact = run.store.read(reference.step, reference.key)
        if artifact is not None and artifact.manifest["values"] != plain(how):
            calls[label] = Call(SIGN, how, {"documents": [done["extracted"][label]]}, label)
    done["signatures"].update(zip(calls, run.map(list(calls.values())), strict=True))
    return list(done["signatures"].values())
