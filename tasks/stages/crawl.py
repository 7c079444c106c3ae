"""Crawl: every source of the recipe → its pages, as WARC."""

from llm.corpus.sources import builtin_identity
from llm.corpus.web.websource import WebSource
from llm.runs import Outputs
from llm.step import BadInput
from tasks.engine.ready import check_crawl
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step
from tasks.stages.nights import earlier_crawls, night_before
from tasks.stages.sources import source_call

WEB = Step(
    "crawl",
    "llm.corpus.sources.web:crawl",
    retries=3,
    resumes_across_code=True,
    holds="pages",
    files_in="path",
)
BUILTIN = Step(
    "crawl",
    "llm.corpus.sources.builtin:crawl",
    retries=3,
    resumes_across_code=True,
    holds="pages",
    files_in="path",
)


def crawl(run: Run, stages: Stages) -> Outputs:
    """One call a source. Web sources are crawled once a snapshot, the others when files change."""
    calls: list[Call] = []
    missing: list[str] = []
    for name, source in run.recipe.crawl.sources.items():
        if isinstance(source, WebSource):
            identity = {"snapshot": run.snapshot}
            before = night_before(run, name)
            inputs = {"before": before} if before else {}
            if any(seed.startswith("builtin:") for seed in source.seeds):
                calls.append(
                    Call(
                        BUILTIN, source, inputs, name, identity | builtin_identity.identity(source)
                    )
                )
            else:
                calls.append(Call(WEB, source, inputs, name, identity))
        else:
            try:
                calls.append(source_call(name, source, run.snapshot))
            except BadInput as error:
                missing.append(f"crawl.sources.{name}: {error}")
    check_crawl(run, calls, missing)
    pages = dict(zip((call.label for call in calls), run.map(calls), strict=True))
    return {"pages": pages, "earlier": earlier_crawls(run)}
