"""Clean: pages → documents worth training on, and a table of why each other one was dropped."""

import json

from llm.corpus import decide, dedup, extract, signals, write
from llm.corpus.decide import DecideAll
from llm.corpus.extract import ExtractShard
from llm.corpus.write import WriteShard
from llm.runs import Outputs
from tasks.run import Run, Stages
from tasks.step import Call, Step

EXTRACT = Step("extract", extract.extract)
SIGNALS = Step("signals", signals.measure)
DUPLICATES = Step("duplicates", dedup.find_duplicates)
DECIDE = Step("decide", decide.decide)
WRITE = Step("write", write.write)


def clean(run: Run, stages: Stages) -> Outputs:
    """Extract and measure each shard, find duplicates among all, decide, write each shard."""
    settings = run.recipe.clean
    pages = {
        f"{source}-{part}": (source, part, reference)
        for source, whole in stages["crawl"]["pages"].items()
        for part, reference in run.parts(whole).items()
    }
    documents = run.map(
        [
            Call(
                EXTRACT,
                ExtractShard(source=source, part=part, settings=settings.extract),
                {"pages": [page]},
                label,
            )
            for label, (source, part, page) in pages.items()
        ]
    )
    measured = run.map(
        [
            Call(SIGNALS, signals.SignalSettings(), {"documents": [document]}, label)
            for label, document in zip(pages, documents, strict=True)
        ]
    )
    duplicates = run.step(Call(DUPLICATES, settings.dedup, {"documents": documents}))
    decided = run.step(
        Call(
            DECIDE,
            DecideAll(shards=tuple(pages), filters=settings.filters),
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
                WriteShard(shard=label, pii=settings.pii),
                {"documents": [document], "decisions": [decisions[label]]},
                label,
            )
            for label, document in zip(pages, documents, strict=True)
        ]
    )
    return {"documents": dict(zip(pages, written, strict=True)), "decisions": {"all": decided}}
