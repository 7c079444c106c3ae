"""Many hosts at once, each at its own pace; feeds, budgets and traps."""

import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm.corpus.sources import web
from llm.corpus.web.crawler import WebSource
from llm.corpus.web.pace import Pace
from llm.machine import Machine
from llm.step import Context, StepResult

Make = Callable[..., WebSource]


def crawl(values: WebSource, context: Context, site: Any, *names: str) -> tuple[StepResult, Path]:
    """Crawl with all of `names` standing for the site; the result, and its folder."""
    hosts = dict.fromkeys(names or ("site.test",), f"127.0.0.1:{site.port}")
    base = context.out.parent / f"run{time.monotonic_ns()}"
    for folder in (base / "out", base / "work"):
        folder.mkdir(parents=True)
    where = dataclasses.replace(
        context, out=base / "out", work=base / "work", machine=Machine(hosts=hosts)
    )
    return web.crawl(values, {}, where), where.out


def urls(out: Path) -> list[str]:
    found = pq.read_table(out / "index.parquet")["url"].to_pylist()
    return sorted(url.removeprefix("http://site.test") for url in found)


def text(body: str, **headers: str) -> Any:
    kind = {"Content-Type": headers.pop("kind")} if "kind" in headers else {}
    return SimpleNamespace(body=body.encode(), status=200, headers=kind | headers, slow=0.0)


def test_none_of_twenty_hosts_is_visited_faster_than_its_delay(
    website: Any, context: Context, source: Make
) -> None:
    delays = {f"host{i}.test": 0.05 + 0.45 * i / 19 for i in range(20)}
    plain = website.reply

    def reply(path: str, headers: dict[str, str]) -> Any:
        plain(headers["Host"] + path, headers)
        if path == "/robots.txt":
            return text(f"User-agent: *\nCrawl-delay: {delays[headers['Host']]}")
        if path == "/moved":
            return SimpleNamespace(body=b"", status=301, headers={"Location": "/3"}, slow=0.0)
        links = "<a href='/1'>1</a><a href='/2'>2</a><a href='/moved'>m</a><a href='/lost'>l</a>"
        answer = text(links if path == "/" else path)
        answer.status = 404 if path in ("/lost", "/sitemap.xml") else 200
        answer.slow = 0.01 * (len(path) % 3)
        return answer

    website.reply = reply
    values = source(seeds=tuple(f"http://{name}/" for name in delays), host_concurrency=4)
    result, _ = crawl(values, context, website, *delays)
    assert result.counts["pages"] == 20 * 4
    moments = defaultdict(list)
    for moment, path, _ in website.requests:
        moments[path.partition("/")[0]].append(moment)
    assert set(moments) == set(delays)
    for name, delay in delays.items():
        gaps = [b - a for a, b in itertools.pairwise(moments[name])]
        assert len(gaps) == 7
        # The first gap is the one behind robots.txt, which said the delay.
        assert min(gaps) >= delay, (name, min(gaps), delay)
    # Were they visited one after another, their spans together would be no longer than the crawl.
    spans = [times[-1] - times[0] for times in moments.values()]
    whole = max(map(max, moments.values())) - min(map(min, moments.values()))
    assert sum(spans) > 3 * whole, "hosts wait for each other"


def test_a_host_that_says_it_is_too_much_is_asked_more_slowly(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = list[float]()
    wait = Pace.wait

    def noted(self: Pace, seconds: float) -> None:
        pauses.append(round(seconds, 4))
        wait(self, seconds)

    monkeypatch.setattr(Pace, "wait", noted)
    website.add("/", "home", *(f"/{i}" for i in range(6)))
    for i in range(6):
        website.add(f"/{i}")
    website.answers["/0"] = lambda before: (
        text("fine") if before else SimpleNamespace(body=b"", status=503, headers={}, slow=0.0)
    )
    values = source(delay_seconds=0.05, latency_factor=0.0, sitemaps=False)
    crawl(values, context, website)
    times = [moment for moment, _, _ in website.requests]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    trouble = next(i for i, (_, path, _) in enumerate(website.requests) if path == "/0")
    assert min(gaps) >= 0.05
    assert min(gaps[trouble : trouble + 2]) >= 0.08
    # Twice as slow after the answer 503, and a fifth of that less with each good one.
    slow = pauses.index(max(pauses))
    assert pauses[slow] == 0.1
    assert sorted(set(pauses[slow:]), reverse=True) == [0.1, 0.08, 0.064, 0.0512, 0.05]


RSS = """<rss version="2.0"><channel><title>t</title><link>http://site.test/</link>
<item><link>http://site.test/post-1</link></item><item><link> /post-2 </link></item>
<item><link>http://elsewhere.test/</link></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><link rel="self" href="/atom"/>
<entry><link rel="edit" href="/edit"/><link href="/entry"/></entry></feed>"""


def test_feeds_that_seeds_are_or_name_lead_to_pages(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/"] = text(
        "<link rel='alternate' type='application/atom+xml' href='/atom'>"
        "<link rel='alternate' type='application/json' href='/json'><a href='/deep'>d</a>"
    )
    website.answers["/deep"] = text(
        "<link rel=alternate type='application/rss+xml' href='/comments'>"
    )
    website.answers["/rss"] = text(RSS, kind="application/rss+xml; charset=utf-8")
    website.answers["/atom"] = text(ATOM, kind="text/xml")
    for path in ("/post-1", "/post-2", "/entry"):
        website.add(path)
    seeds = ("http://site.test/", "http://site.test/rss")
    result, out = crawl(source(seeds=seeds), context, website)
    assert urls(out) == ["/", "/deep", "/entry", "/post-1", "/post-2"]
    assert result.counts["failures"] == {}
    assert website.asked["/comments"] == website.asked["/edit"] == website.asked["/json"] == 0
    _, out = crawl(source(seeds=seeds, feeds=False), context, website)
    assert urls(out) == ["/", "/deep"]


def test_a_calendar_without_end_ends_and_listed_pages_are_no_trap(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/calendar?month=1", "/about")
    website.add("/about")
    website.answers["/sitemap.xml"] = text(
        "".join(f"http://site.test/article/{i}\n" for i in range(15))
    )
    for i in range(15):
        website.add(f"/article/{i}")
    plain = website.answers

    class Endless(dict):
        def get(self, path: str, default: Any = None) -> Any:
            if path.startswith("/calendar"):
                month = int(path.partition("=")[2])
                links = [f"<a href='/calendar?month={month + i}'>n</a>" for i in (1, 2, 3)]
                return text("".join(links))
            return super().get(path, default)

    website.answers = Endless(plain)
    result, out = crawl(source(max_per_pattern=7), context, website)
    found = urls(out)
    assert sum("calendar" in url for url in found) == 7
    assert sum("article" in url for url in found) == 15
    assert "/about" in found
    assert result.counts["failures"]["trap"] >= 1


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_budget_lets_in_the_first_pages_of_each_host(
    website: Any, context: Context, source: Make, at_once: int
) -> None:
    names = ("a.test", "b.test", "c.test")

    def reply(path: str, headers: dict[str, str]) -> Any:
        links = "".join(f"<a href='/{i}'>x</a>" for i in range(9)) if path == "/" else ""
        answer = text(links + path)
        answer.status = 404 if path in ("/1", "/robots.txt", "/sitemap.xml") else 200
        answer.slow = 0.02 if path == "/0" else 0.0
        return answer

    website.reply = reply
    values = source(
        seeds=tuple(f"http://{name}/" for name in names),
        max_pages_per_host=4,
        budgets={"b.test": {"max_pages": 2}, "c.test": {"max_depth": 0}},
        concurrency=at_once,
        host_concurrency=at_once,
    )
    values = dataclasses.replace(
        values,
        budgets={name: web.HostBudget(**limits) for name, limits in values.budgets.items()},  # type: ignore[arg-type]
    )
    result, out = crawl(values, context, website, *names)
    found = pq.read_table(out / "index.parquet")["url"].to_pylist()
    assert sorted(url.removeprefix("http://") for url in found) == [
        "a.test/", "a.test/0", "a.test/2", "a.test/3", "b.test/", "b.test/0", "c.test/",
    ]  # fmt: skip
    assert result.counts["not_fetched"] > 0


def test_noindex_pages_are_kept_where_the_recipe_says_so(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", headers={"X-Robots-Tag": "noindex"})
    _, out = crawl(source(noindex="keep"), context, website)
    assert urls(out) == ["/"]


def test_what_was_taken_down_is_not_fetched(website: Any, context: Context, source: Make) -> None:
    website.add("/", "home", "/a", "/b")
    website.add("/a")
    website.add("/b")
    machine = Machine(hosts=website.hosts, takedown=("http://site.test/b",))
    result = web.crawl(source(), {}, dataclasses.replace(context, machine=machine))
    assert result.counts["pages"] == 2
    assert result.counts["failures"] == {"taken_down": 1}
    assert website.asked["/b"] == 0


def hop(target: str) -> Any:
    return SimpleNamespace(body=b"", status=302, headers={"Location": target}, slow=0.0)


def test_robots_txt_is_found_five_redirects_on_and_kept_for_its_own_host(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/x")
    website.add("/x")
    places = ["/robots.txt", "/r1", "/r2", "/r3", "http://other.test/r4", "/r5"]
    for place, target in itertools.pairwise(places):
        website.answers[place.removeprefix("http://other.test")] = hop(target)
    website.answers["/r5"] = text("User-agent: *\nDisallow: /x", kind="text/plain")
    result, out = crawl(source(), context, website, "site.test", "other.test")
    assert urls(out) == ["/"]
    assert result.counts["failures"] == {"robots_disallowed": 1}
    assert website.times("/robots.txt") == website.times("/robots.txt")[:1]
    website.answers["/r5"] = hop("/r6")  # RFC 9309, 2.3.1.2: beyond that there is none
    website.answers["/r6"] = hop("/r7")
    _, out = crawl(source(), context, website, "site.test", "other.test")
    assert urls(out) == ["/", "/x"]


@pytest.mark.parametrize("file", ["robots.txt", "sitemap.xml"])
def test_a_redirect_to_another_host_keeps_that_ones_pace(
    website: Any, context: Context, source: Make, file: str
) -> None:
    names = [f"quick{i}.test" for i in range(5)]
    plain = website.reply

    def reply(path: str, headers: dict[str, str]) -> Any:
        name = headers["Host"]
        plain(name + path, headers)
        if path == "/":
            return text(name)
        if name == "slow.test" and path == "/robots.txt":
            return text("User-agent: *\nCrawl-delay: 0.2")
        if name != "slow.test" and path == f"/{file}":
            answer = hop(f"http://slow.test/of/{name}")
            answer.slow = 0.1  # so that the slow host has said by then how slow it is
            return answer
        answer = text("")
        answer.status = 404
        return answer

    website.reply = reply
    seeds = tuple(f"http://{name}/" for name in ("slow.test", *names))
    result, _ = crawl(source(seeds=seeds), context, website, "slow.test", *names)
    assert result.counts["pages"] == 6
    asked = [(moment, path) for moment, path, _ in website.requests if path.startswith("slow")]
    assert asked[0][1] == "slow.test/robots.txt"
    assert len(asked) == 3 + len(names)
    assert min(b[0] - a[0] for a, b in itertools.pairwise(asked)) >= 0.2


def test_of_a_huge_robots_txt_the_first_part_counts(
    website: Any, context: Context, source: Make
) -> None:
    rules = "User-agent: *\nDisallow: /x\n" + "# filler\n" * 500_000
    website.answers["/robots.txt"] = text(rules, kind="text/plain")
    website.add("/", "home", "/x", "/y")
    website.add("/x")
    website.add("/y")
    _, out = crawl(source(), context, website)
    assert urls(out) == ["/", "/y"]
