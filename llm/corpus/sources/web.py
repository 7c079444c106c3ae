"""The step that crawls web sites. Killed and run again, it goes on from its frontier."""

import asyncio

from llm.corpus.crawler import Crawler, WebSource
from llm.corpus.fetch import Fetcher
from llm.corpus.frontier import Frontier
from llm.corpus.urls import normalise
from llm.corpus.warc import write_pages
from llm.step import BadInput, Context, Inputs, StepResult

_ADVICE = {
    "robots_disallowed": "its robots.txt disallows it for {agent!r}: ask the owner, or name "
    "another seed",
    "does_not_resolve": "its host name does not resolve: check the spelling",
    "noindex": "the page asks not to be kept (noindex): name another seed",
    "redirect_elsewhere": "it redirects to another host ({detail}): name that one, or add it to "
    "`hosts`",
    "content_type": "it is no page of text but {detail}: name a page",
    "crawl_delay": "its {detail}: raise max_crawl_delay_seconds to crawl it all the same",
    "too_large": "it is {detail}: raise max_page_bytes",
}


def crawl(values: WebSource, inputs: Inputs, context: Context) -> StepResult:
    """Crawl the sites of `values` into WARC shards.

    Raises BadInput when the seeds give no page and never will, ConnectionError when they may.
    """
    _check_seeds(values)
    frontier = Frontier(context.work)
    try:
        asyncio.run(_run(values, frontier, context))
        if not frontier.totals()[0]:
            raise _nothing(values, frontier)
        left = frontier.count("waiting")
        counts = {"requests": frontier.number("requests"), "not_fetched": left}
        if left:
            context.report.info(f"{left:,} addresses more were found than max_pages lets in")
        _warn_of_seeds(frontier, context)
        return write_pages(frontier, context, values.shard_bytes, counts)
    finally:
        frontier.close()


async def _run(values: WebSource, frontier: Frontier, context: Context) -> None:
    hosts = context.machine.hosts

    def requested() -> None:
        frontier.add_number("requests")

    async with Fetcher(values.user_agent, values.limits(), hosts, requested) as fetcher:
        await Crawler(values, frontier, fetcher, context.report).run()


def _check_seeds(values: WebSource) -> None:
    for seed in values.seeds:
        if normalise(seed) is None:
            raise BadInput(f"the seed {seed!r} is no web address; write it like https://host/path")


def _warn_of_seeds(frontier: Frontier, context: Context) -> None:
    for url, state, reason in frontier.seeds():
        if state in ("failed", "unreachable"):
            context.report.warning(f"the seed {url} gave no page: {reason}")


def _nothing(values: WebSource, frontier: Frontier) -> Exception:
    """The error of a crawl without pages. What was unreachable is made ready for another try."""
    seeds = frontier.seeds()
    said = [f"{url}: {_explain(reason, values.user_agent)}" for url, _, reason in seeds]
    unreachable = frontier.count("unreachable")
    if unreachable:
        frontier.forgive()
        lines = "; ".join(said)
        return ConnectionError(f"no page could be fetched, try again later ({lines})")
    return BadInput("the crawl found no page. " + "; ".join(said))


def _explain(reason: str, agent: str) -> str:
    word, _, detail = reason.partition(": ")
    return _ADVICE.get(word, "{reason}").format(agent=agent, detail=detail, reason=reason)
