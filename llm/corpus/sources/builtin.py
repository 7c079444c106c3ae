"""The step that crawls the built-in documentation site, which it serves meanwhile."""

import dataclasses

from llm.corpus.site.content import HOST, Site
from llm.corpus.site.documentation import (
    SITE,
    installed_packages,
    standard_library,
    topics,
)
from llm.corpus.site.server import site_server
from llm.corpus.sources import web
from llm.corpus.sources.builtin_identity import STANDARD_LIBRARY, WITH_PACKAGES
from llm.corpus.web.websource import WebSource
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("python",)


def crawl(values: WebSource, inputs: Inputs, context: Context) -> StepResult:
    """Crawl the site of a builtin seed over HTTP, without pauses, as it is ours.

    `inputs`: as of `web.crawl`. Other seeds beside it are crawled too, as unhurriedly as `values` says. Raises BadInput for an
    unknown builtin seed, and what `web.crawl` raises.
    """
    for seed in values.seeds:
        if seed.startswith("builtin:") and seed not in (STANDARD_LIBRARY, WITH_PACKAGES):
            raise BadInput(
                f"there is no built-in site {seed!r}; there are {STANDARD_LIBRARY} and "
                f"{WITH_PACKAGES}"
            )
    sources = standard_library()
    if WITH_PACKAGES in values.seeds:
        sources += installed_packages()
    seeds = [f"{SITE}/" if seed.startswith("builtin:") else seed for seed in values.seeds]
    alone = all(seed.startswith("builtin:") for seed in values.seeds)
    ours = dataclasses.replace(
        values,
        seeds=tuple(dict.fromkeys(seeds)),
        delay_seconds=0.0 if alone else values.delay_seconds,
    )
    with site_server(Site(sources, topics())) as address:
        hosts = {**context.machine.hosts, HOST: address}
        machine = dataclasses.replace(context.machine, hosts=hosts)
        return web.crawl(ours, inputs, dataclasses.replace(context, machine=machine))
