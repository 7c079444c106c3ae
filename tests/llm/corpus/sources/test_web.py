"""A crawl must take what it may, leave what it must, and come to the same result each time."""

import dataclasses
import gzip
import itertools
import random
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from llm.corpus import robots
from llm.corpus.sources import web
from llm.corpus.web.crawler import WebSource
from llm.machine import Machine
from llm.step import BadInput, Context, StepResult

Make = Callable[..., WebSource]


def fresh(context: Context, site: Any, name: str) -> Context:
    """A context with folders of its own whose machine knows the site."""
    base = context.out.parent / name
    for folder in (base / "out", base / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(
        context, out=base / "out", work=base / "work", machine=Machine(hosts=site.hosts)
    )


def run(
    values: WebSource, context: Context, site: Any, name: str = "run"
) -> tuple[StepResult, Path]:
    where = fresh(context, site, name)
    return web.crawl(values, {}, where), where.out


def pages(out: Path) -> dict[str, bytes]:
    """Path → payload of every page, as warcio reads the shards."""
    found = {}
    for path in sorted((out / "pages").iterdir()):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                if record.rec_type == "response":
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    found[url.removeprefix("http://site.test")] = record.content_stream().read()
    return found


def failures(out: Path) -> dict[str, str]:
    rows = pq.read_table(out / "failures.parquet").to_pylist()
    return {row["url"].removeprefix("http://site.test"): row["reason"] for row in rows}


def test_links_are_followed_within_the_site_and_each_page_is_fetched_once(
    website: Any, context: Context, source: Make
) -> None:
    website.add(
        "/", "home", "/a", "/b?utm_source=x", "/b#part", "http://elsewhere.test/", "mailto:x"
    )
    website.add("/a", "a", "/", "/b", "/c")
    website.add("/b", "b", "/a?b=2&a=1", "/a?a=1&b=2&fbclid=3")
    website.add("/c", "c")
    website.add("/a?a=1&b=2", "query")
    result, out = run(source(), context, website)
    assert set(pages(out)) == {"/", "/a", "/b", "/c", "/a?a=1&b=2"}
    assert set(website.asked.values()) == {1}
    assert result.counts["pages"] == 5
    index = pq.read_table(out / "index.parquet").to_pylist()
    depths = {row["url"].removeprefix("http://site.test"): row["depth"] for row in index}
    assert depths == {"/": 0, "/a": 1, "/b": 1, "/c": 2, "/a?a=1&b=2": 2}


def test_robots_txt_is_obeyed(website: Any, context: Context, source: Make) -> None:
    website.answers["/robots.txt"] = reply(
        b"User-agent: penstock\nDisallow: /closed\nAllow: /closed/door\n\nUser-agent: *\nDisallow: /"
    )
    website.add("/", "home", "/closed/room", "/closed/door", "/open")
    website.add("/closed/room")
    website.add("/closed/door")
    website.add("/open")
    _, out = run(source(), context, website)
    assert set(pages(out)) == {"/", "/closed/door", "/open"}
    assert failures(out) == {"/closed/room": "robots_disallowed"}
    assert "/closed/room" not in website.asked
    _, _, headers = website.requests[0]
    assert headers["Host"] == "site.test"
    assert headers["User-Agent"].startswith("Penstock/")


def test_crawl_delay_is_kept(website: Any, context: Context, source: Make) -> None:
    website.answers["/robots.txt"] = reply(b"User-agent: *\nCrawl-delay: 0.15")
    website.add("/", "home", *(f"/{i}" for i in range(4)))
    for i in range(4):
        website.add(f"/{i}")
    run(source(sitemaps=False, host_concurrency=4), context, website)
    times = [moment for moment, path, _ in website.requests if path != "/robots.txt"]
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.14


def test_a_host_that_asks_for_too_long_a_pause_is_left_out(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/robots.txt"] = reply(b"User-agent: *\nCrawl-delay: 3600")
    website.add("/")
    with pytest.raises(BadInput, match="max_crawl_delay_seconds"):
        run(source(), context, website)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 410, 418, 425, 451])
def test_robots_txt_with_4xx_allows(
    website: Any, context: Context, source: Make, status: int
) -> None:
    website.add("/")
    website.answers["/robots.txt"] = reply(b"User-agent: *\nDisallow: /", status)
    values = source(retries=1, backoff_seconds=0.01, sitemaps=False)
    assert set(pages(run(values, context, website)[1])) == {"/"}
    assert len(website.times("/robots.txt")) == (2 if status in (408, 425) else 1)


@pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504, 505, 507, 511, 520, 522, 599])
def test_robots_txt_with_5xx_or_429_closes(
    website: Any, context: Context, source: Make, status: int
) -> None:
    website.add("/")
    website.answers["/robots.txt"] = reply(b"User-agent: *\nAllow: /", status)
    values = source(retries=1, backoff_seconds=0.01)
    with pytest.raises(ConnectionError, match=f"robots_unreachable: http_{status}"):
        run(values, context, website)
    assert not website.asked
    # Nothing of it is remembered: the next try may find the site open.
    website.answers["/robots.txt"] = reply(b"User-agent: *\nAllow: /")
    assert set(pages(run(values, context, website)[1])) == {"/"}


@pytest.mark.parametrize(("hours", "times"), [(23, 1), (25, 2), (-2, 2)])
def test_a_crawl_gone_on_with_a_day_later_asks_for_robots_txt_again(
    website: Any, context: Context, source: Make, hours: int, times: int
) -> None:
    website.answers["/"] = reply(b"", 503)
    where = fresh(context, website, "run")
    values = source(retries=0, sitemaps=False)
    with pytest.raises(ConnectionError):
        web.crawl(values, {}, where)
    with sqlite3.connect(where.work / "frontier.sqlite") as database:
        database.execute("UPDATE robots SET fetched_at = fetched_at - ?", (hours * 3600,))
    database.close()
    website.add("/")
    website.answers["/robots.txt"] = reply(b"User-agent: *\nDisallow: /")
    if times == 1:
        assert web.crawl(values, {}, where).counts["pages"] == 1
    else:
        with pytest.raises(BadInput, match=r"robots\.txt disallows it"):
            web.crawl(values, {}, where)
    assert len(website.times("/robots.txt")) == times


def test_a_crawl_of_days_asks_for_robots_txt_each_day(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robots, "MAX_AGE_SECONDS", 0.3)
    website.answers["/robots.txt"] = lambda before: reply(
        b"User-agent: *\nDisallow: /closed" if before else b""
    )
    website.add("/", "home", "/1", "/2", "/closed", slow=0.4)
    website.add("/1")
    website.add("/2")
    website.add("/closed")
    _, out = run(source(sitemaps=False), context, website)
    assert set(pages(out)) == {"/", "/1", "/2"}
    assert len(website.times("/robots.txt")) >= 2


def test_sitemaps_lead_to_pages_that_nothing_links_to(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/robots.txt"] = reply(b"Sitemap: http://site.test/map-index.xml")
    website.answers["/map-index.xml"] = reply(
        b"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>"
        b"<sitemap><loc>http://site.test/map.xml.gz</loc></sitemap>"
        b"<sitemap><loc>http://site.test/map.txt</loc></sitemap>"
        b"<sitemap><loc>http://site.test/map-index.xml</loc></sitemap></sitemapindex>"
    )
    packed = gzip.compress(
        b"<urlset><url><loc> http://site.test/alone </loc></url>"
        b"<url><loc>http://elsewhere.test/</loc></url></urlset>"
    )
    website.answers["/map.xml.gz"] = reply(packed)
    website.answers["/map.txt"] = reply(b"http://site.test/listed\n")
    for path in ("/", "/alone", "/listed"):
        website.add(path)
    _, out = run(source(), context, website)
    assert set(pages(out)) == {"/", "/alone", "/listed"}
    _, out = run(source(sitemaps=False), context, website, "without")
    assert set(pages(out)) == {"/"}


def test_429_and_5xx_are_tried_again_when_the_server_says(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/busy", "/flaky", "/gone")
    website.answers["/busy"] = lambda before: (
        reply(b"<p>busy</p>") if before else reply(b"", 429, {"Retry-After": "1"})
    )
    website.answers["/flaky"] = lambda before: reply(
        b"<p>ok</p>" if before == 2 else b"", 200 if before == 2 else 503
    )
    website.answers["/gone"] = reply(b"", 503)
    result, out = run(source(), context, website)
    assert set(pages(out)) == {"/", "/busy", "/flaky"}
    first, second = website.times("/busy")
    assert second - first >= 1.0
    assert website.asked["/flaky"] == 3
    assert website.asked["/gone"] == 3
    assert failures(out) == {"/gone": "http_503"}
    assert result.counts["requests"] == len(website.requests)


def test_a_wait_that_is_too_long_is_not_waited_for(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/later")
    website.answers["/later"] = reply(b"", 503, {"Retry-After": "86400"})
    _, out = run(source(), context, website)
    assert failures(out) == {"/later": "http_503"}
    assert website.asked["/later"] == 1


def test_slow_huge_and_foreign_answers_cost_themselves_only(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/slow", "/huge", "/bomb", "/image", "/broken", "/gone", "/fine")
    website.answers["/slow"] = reply(b"<p>late</p>", slow=30.0)
    website.answers["/huge"] = reply(b"<p>" + b"x" * 300_000)
    bomb = gzip.compress(b"0" * 50_000_000)
    website.answers["/bomb"] = reply(bomb, headers={"Content-Encoding": "gzip"})
    website.answers["/image"] = reply(b"\x89PNG", headers={"Content-Type": "image/png"})
    website.answers["/broken"] = reply(b"not gzip", headers={"Content-Encoding": "gzip"})
    website.add("/fine")
    values = source(timeout_seconds=4.0, max_page_bytes=200_000, retries=0)
    _, out = run(values, context, website)
    assert set(pages(out)) == {"/", "/fine"}
    reasons = {path: reason.partition(":")[0] for path, reason in failures(out).items()}
    assert reasons == {
        "/slow": "timeout",
        "/huge": "too_large",
        "/bomb": "too_large",
        "/image": "content_type",
        "/broken": "bad_answer",
        "/gone": "http_404",
    }


def test_redirects_are_followed_once_and_never_in_circles(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", "/old", "/older", "/circle", "/self", "/away", "/0")
    website.answers["/old"] = reply(b"", 301, {"Location": "/new"})
    website.answers["/older"] = reply(b"", 302, {"Location": "http://site.test/new#there"})
    website.answers["/circle"] = reply(b"", 302, {"Location": "/elcric"})
    website.answers["/elcric"] = reply(b"", 302, {"Location": "/circle"})
    website.answers["/self"] = reply(b"", 302, {"Location": "/self"})
    website.answers["/away"] = reply(b"", 302, {"Location": "http://elsewhere.test/"})
    for i in range(30):
        website.answers[f"/{i}"] = reply(b"", 302, {"Location": f"/{i + 1}"})
    website.add("/new")
    _, out = run(source(), context, website)
    assert set(pages(out)) == {"/", "/new"}
    assert max(website.asked.values()) == 1
    assert failures(out)["/away"] == "redirect_elsewhere: http://elsewhere.test/"
    assert website.asked["/10"] == 1
    assert website.asked["/12"] == 0


def test_a_trap_of_endless_links_ends(website: Any, context: Context, source: Make) -> None:
    website.add("/", "home", "sub/")
    answers = website.answers

    class Endless(dict):
        def get(self, path: str, default: Any = None) -> Any:
            if path.endswith("sub/"):
                return reply(b"<a href='sub/'>deeper</a>")
            return super().get(path, default)

    website.answers = Endless(answers)
    result, _ = run(source(), context, website)
    assert result.counts["pages"] < 10
    result, _ = run(source(max_depth=2), context, website, "shallow")
    assert result.counts["pages"] == 3


def test_pages_that_ask_not_to_be_kept_are_not(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/"] = reply(
        b"<meta name='ROBOTS' content='NoIndex'><a href='/a'>a</a><a rel='nofollow' href='/b'>b</a>"
    )
    website.add("/a")
    website.answers["/a"] = reply(b"<a href='/c'>c</a>", headers={"X-Robots-Tag": "nofollow"})
    website.add("/c")
    _, out = run(source(), context, website)
    assert set(pages(out)) == {"/a"}
    assert failures(out) == {"/": "noindex"}


def test_include_and_exclude_bound_the_crawl(website: Any, context: Context, source: Make) -> None:
    website.add("/", "home", "/docs/a", "/docs/private", "/blog")
    for path in ("/docs/a", "/docs/private", "/blog"):
        website.add(path)
    values = source(include=("*/docs/*",), exclude=("*private*",))
    assert set(pages(run(values, context, website)[1])) == {"/", "/docs/a"}


def tree(website: Any, seed: int) -> None:
    """A site of 121 pages whose answers come in an order of their own, some of them errors."""
    chance = random.Random(seed)
    for i in range(121):
        links = [f"/{j}" for j in range(3 * i + 1, 3 * i + 4) if j < 121]
        website.add(f"/{i}" if i else "/", f"page {i}", *links, slow=chance.random() / 50)
        if i % 7 == 3:
            website.answers[f"/{i}"] = reply(b"", 404)


def test_the_pages_within_a_limit_do_not_depend_on_the_order_of_answers(
    website: Any, context: Context, source: Make
) -> None:
    for limit in (1, 10, 37):
        results = []
        for seed in range(2):
            tree(website, seed)
            values = source(max_pages=limit, concurrency=8, host_concurrency=8)
            result, out = run(values, context, website, f"limit{limit}-{seed}")
            assert result.counts["pages"] == limit
            results.append((result.content, result.parts, set(pages(out))))
        assert results[0] == results[1]
    assert results[0][2] >= {"/", "/1", "/2"}


def test_shards_follow_from_addresses_and_hold_every_page_once(
    website: Any, context: Context, source: Make
) -> None:
    tree(website, 0)
    whole, out = run(source(), context, website, "whole")
    parts, cut = run(source(shard_bytes=2000), context, website, "cut")
    assert list(whole.parts) == ["00000"]
    assert len(parts.parts) in (4, 8)
    assert pages(out) == pages(cut)
    index = pq.read_table(cut / "index.parquet").to_pylist()
    assert len({row["url"] for row in index}) == len(index) == parts.counts["pages"]
    for part in parts.parts:
        urls = [row["url"] for row in index if row["part"] == part]
        assert urls == sorted(urls)


def test_a_changed_page_changes_its_shard_only(
    website: Any, context: Context, source: Make
) -> None:
    tree(website, 0)
    before, _ = run(source(shard_bytes=2000), context, website, "before")
    website.add("/40", "another text")
    after, _ = run(source(shard_bytes=2000), context, website, "after")
    assert before.content != after.content
    changed = [part for part in before.parts if before.parts[part] != after.parts[part]]
    assert len(changed) == 1


@pytest.mark.parametrize(
    ("rules", "page", "said"),
    [
        (b"User-agent: *\nDisallow: /", None, "robots.txt disallows it for 'Penstock"),
        (b"", (b"", 404), "http_404"),
        (
            b"",
            (b"%PDF", 200, {"Content-Type": "application/pdf"}),
            "no page of text but application",
        ),
        (b"", (b"", 302, {"Location": "http://other.test/"}), "redirects to another host"),
    ],
)
def test_a_crawl_that_yields_nothing_says_why(
    website: Any, context: Context, source: Make, rules: bytes, page: Any, said: str
) -> None:
    website.answers["/robots.txt"] = reply(rules)
    website.add("/")
    if page:
        website.answers["/"] = reply(*page)
    with pytest.raises(BadInput, match=said) as caught:
        run(source(), context, website)
    assert "http://site.test/" in str(caught.value)


def test_a_seed_that_does_not_resolve_or_is_no_address_is_bad_input(
    context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="does not resolve: check the spelling"):
        web.crawl(source(seeds=("http://no-such-host.invalid/",)), {}, context)

    def unknown(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BadInput, match="does not resolve"):
        web.crawl(source(seeds=("https://no-such-host.com/",)), {}, context)
    with pytest.raises(BadInput, match="not a web address"):
        web.crawl(source(seeds=("docs/index.html",)), {}, context)


def test_one_seed_of_two_that_fails_is_a_warning(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/")
    said: list[str] = []
    where = fresh(context, website, "run")
    where.report.warning = said.append  # type: ignore[method-assign]
    values = source(seeds=("http://site.test/", "http://no-such-host.invalid/"))
    assert web.crawl(values, {}, where).counts["pages"] == 1
    assert any("no-such-host.invalid" in line for line in said)


def test_what_is_unreachable_is_an_error_to_retry_and_the_retry_succeeds(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/"] = reply(b"<p>slow</p>", slow=30.0)
    where = fresh(context, website, "run")
    values = source(timeout_seconds=4.0, retries=0, sitemaps=False)
    with pytest.raises(ConnectionError, match="timeout") as caught:
        web.crawl(values, {}, where)
    assert not isinstance(caught.value, BadInput)
    website.add("/")
    assert web.crawl(values, {}, where).counts["pages"] == 1


def test_a_dead_host_is_left_alone_after_a_few_tries(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", *(f"/{i}" for i in range(40)))
    for i in range(40):
        website.answers[f"/{i}"] = reply(b"", 503)
    _, out = run(source(retries=0, concurrency=1), context, website)
    assert 5 <= sum(website.asked.values()) <= 8
    assert len(failures(out)) == 40


def reply(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None, slow: float = 0.0
) -> Any:
    """What the site answers."""
    return SimpleNamespace(body=body, status=status, headers=headers or {}, slow=slow)
