"""The step that crawls web sites. Killed and run again, it goes on from its frontier."""

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from llm.corpus.archive.warc import write_pages
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.web.addresses import Gate
from llm.corpus.web.crawler import Crawler
from llm.corpus.web.fetch import Fetcher
from llm.corpus.web.frontier import MILLISECONDS, OUT_OF_TIME, Frontier
from llm.corpus.web.login import Login, login
from llm.corpus.web.parse import Parser
from llm.corpus.web.recrawl import NightBefore
from llm.corpus.web.scope import Scope
from llm.corpus.web.urls import bare, host, normalise
from llm.corpus.web.websource import HostBudget as HostBudget
from llm.corpus.web.websource import WebSource as WebSource
from llm.step import BadInput, Context, Inputs, StepResult, digest_of

_ADVICE = {
    "robots_disallowed": "its robots.txt disallows it for {agent!r}: ask the owner, or name "
    "another seed",
    "does_not_resolve": "its host name does not resolve: check the spelling",
    "noindex": "the page asks not to be kept (noindex): name another seed",
    "redirect_elsewhere": "it redirects to another host ({detail}): name that one, or add it to "
    "`hosts`",
    "redirect_excluded": "it redirects to {detail}, which `exclude` leaves out: change that, or name "
    "another seed",
    "trap": "it leads to an address that looks like one of endlessly many: name another seed",
    "content_type": "it is no page of text but {detail}: name a page",
    "crawl_delay": "its {detail}: raise max_crawl_delay_seconds to crawl it all the same",
    "private_address": "{detail}: add the host to private_hosts if it is to be crawled all the same",
    "too_large": "it is {detail}: raise max_page_bytes",
}


def crawl(values: WebSource, inputs: Inputs, context: Context) -> StepResult:
    """Crawl the sites of `values` into WARC shards.

    `inputs["before"]`, where it is given: the same source's crawl of the night before. Then only what
    changed since is downloaded and stored, and the result tells new, changed, unchanged and gone pages
    apart. Raises BadInput when the seeds give no page and never will, ConnectionError when they may.
    """
    _check_seeds(values)
    # The one place where a step looks at the environment: a secret must not be handed through a queue.
    secrets = _login(values)
    frontier = Frontier(context.work)
    try:
        before = NightBefore(frontier, next(iter(inputs.get("before", ())), None))
        asyncio.run(_run(values, frontier, before, secrets, context))
        if not frontier.totals()[0]:
            raise _nothing(values, frontier)
        _warn(frontier, context)
        return _write(values, frontier, before, context)
    finally:
        frontier.close()


async def _run(
    values: WebSource, frontier: Frontier, before: NightBefore, secrets: Login, context: Context
) -> None:
    gate = Gate(context.machine.hosts, Scope(values).private)
    takedown = Exclusions(context.machine.takedown)

    def requested() -> None:
        frontier.add_number("requests")

    fetches = Fetcher(values.user_agent, values.limits(), gate, requested, secrets)
    with Parser() as parser:
        async with fetches as fetcher:
            await Crawler(values, frontier, fetcher, parser, before, context.report, takedown).run()


def _write(
    values: WebSource, frontier: Frontier, before: NightBefore, context: Context
) -> StepResult:
    """Write the artifact, and say what the night brought where there was one before."""
    counts: dict[str, Any] = {
        "requests": frontier.number("requests"),
        "downloaded_bytes": frontier.number("downloaded_bytes"),
        "not_fetched": frontier.count("waiting", "left"),
    }
    states = frontier.states()
    gone = before.gone()
    if before.exists:
        for state in ("new", "changed", "unchanged"):
            counts[state] = states.get(state, (0, 0))[0]
        counts["gone"] = len(gone)
        counts["unseen"] = sum(1 for _ in before.unseen())
        counts["not_downloaded"] = frontier.number("not_downloaded")
        counts["saved_bytes"] = frontier.number("saved_bytes")
    summary = _summary(counts) if before.exists else ""
    result = write_pages(frontier, context, values.shard_bytes, counts, before.unseen(), summary)
    before.write(context.out)
    if not before.exists:
        return result
    content = digest_of([str(result.content), *(text for row in gone for text in row)])
    return dataclasses.replace(result, content=content)


def _summary(counts: Mapping[str, Any]) -> str:
    unchanged, spared = counts["unchanged"], counts["not_downloaded"]
    how = "not downloaded" if spared == unchanged else f"{spared:,} of them not downloaded"
    said = [
        f"{counts['new']:,} new",
        f"{counts['changed']:,} changed",
        f"{unchanged:,} unchanged" + (f" ({how})" if unchanged else ""),
        f"{counts['gone']:,} gone",
    ]
    if counts["unseen"]:
        said.append(f"{counts['unseen']:,} not reached")
    return ", ".join(said)


def _login(values: WebSource) -> Login:
    """The secrets of the recipe's headers, for the source's own hosts."""
    scope = Scope(values)
    plain = {bare(host(seed)) for seed in scope.seeds if seed.startswith("http://")}
    return login(values.headers, _with_www(scope.hosts), _with_www(plain & scope.hosts))


def _with_www(names: Iterable[str]) -> set[str]:
    return {name for bare_name in names for name in (bare_name, f"www.{bare_name}")}


def _check_seeds(values: WebSource) -> None:
    for seed in values.seeds:
        if normalise(seed) is None:
            raise BadInput(
                f"the seed {seed!r} is not a web address; write it like https://host/path"
            )


def _warn(frontier: Frontier, context: Context) -> None:
    left = frontier.count("waiting", "left")
    if left and not frontier.number(OUT_OF_TIME):
        context.report.info(f"{left:,} addresses more were found than max_pages lets in")
    trapped = sum(reason.startswith("trap:") for _, reason in frontier.failures())
    if trapped:
        context.report.warning(
            f"{trapped:,} addresses are left out that differ from others in numbers or parameters "
            "only (failures.parquet tells which): raise max_per_pattern if they are pages of their own"
        )
    for url, state, reason in frontier.seeds():
        if state in ("failed", "unreachable"):
            context.report.warning(f"the seed {url} gave no page: {reason}")


def _nothing(values: WebSource, frontier: Frontier) -> Exception:
    """The error of a crawl without pages. What was unreachable is made ready for another try."""
    if frontier.number(OUT_OF_TIME):
        # The next try has its time again.
        frontier.forget_number(OUT_OF_TIME)
        frontier.forget_number(MILLISECONDS)
        frontier.forgive()
        return ConnectionError(
            f"no page came within max_hours ({values.max_hours:g}): try again later, or raise it"
        )
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
