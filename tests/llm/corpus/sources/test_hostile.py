"""What sites send by mistake or malice must cost themselves only, and be told."""

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm.corpus.sources import web
from llm.corpus.web import discovery, links, parse
from llm.corpus.web.scope import Scope
from llm.corpus.web.websource import HostBudget, WebSource
from llm.machine import Machine
from llm.step import BadInput, Context, StepResult

Make = Callable[..., WebSource]


def crawl(values: WebSource, context: Context, site: Any, before: Path | None = None) -> StepResult:
    inputs = {"before": [before]} if before else {}
    where = Context(context.out, context.work, context.report, Machine(hosts=site.hosts))
    return web.crawl(values, inputs, where)


def kept(context: Context) -> list[str]:
    found = pq.read_table(context.out / "index.parquet")["url"].to_pylist()
    return sorted(url.removeprefix("http://site.test") for url in found)


def failed(context: Context) -> dict[str, str]:
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    return {row["url"].removeprefix("http://site.test"): row["reason"] for row in rows}


def reply(body: bytes = b"", status: int = 200, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(body=body, status=status, headers=named, slow=0.0)


NO_HOSTS = (
    "http://xn--a.elsewhere.example/",
    "http://[::",
    f"http://{'a' * 64}.example/",
    "http://a..example/",
)


def test_redirects_to_what_is_no_host_are_that_page_s_fault(
    website: Any, context: Context, source: Make
) -> None:
    paths = [f"/r{n}" for n in range(2 * len(NO_HOSTS))]
    website.add("/", "home", *paths, "/fine")
    website.add("/fine")
    for n, path in enumerate(paths):
        website.answers[path] = reply(status=302, Location=NO_HOSTS[n % len(NO_HOSTS)])
    website.answers["/robots.txt"] = reply(status=302, Location=NO_HOSTS[0])
    crawl(source(concurrency=1), context, website)
    assert kept(context) == ["/", "/fine"]
    assert {failed(context)[path] for path in paths} == {"redirect: leads nowhere"}
    assert {website.asked[path] for path in paths} == {1}


def test_a_sitemap_line_with_what_is_no_host_stops_nothing(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/robots.txt"] = reply(b"Sitemap: http://xn--a.elsewhere.example/map.xml")
    website.add("/")
    crawl(source(), context, website)
    assert kept(context) == ["/"]


def test_a_page_with_heaps_of_attributes_holds_up_nobody_and_is_told(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "LIMITS", parse.LIMITS._replace(seconds=2.0))
    others = [f"/fine{i}" for i in range(20)]
    website.add("/", "home", "/heap", *others)
    heap = b"<a " + b" ".join(b"x%d=1" % i for i in range(150_000)) + b" href=/a>x</a>"
    website.answers["/heap"] = reply(heap)
    for path in others:
        website.add(path)
    spans = {}
    apart = parse.Parser._apart

    def noted(self: parse.Parser, item: Any) -> Any:
        before = len(website.requests)
        found = apart(self, item)
        spans[item.url] = (before, len(website.requests))
        return found

    monkeypatch.setattr(parse.Parser, "_apart", noted)
    crawl(source(sitemaps=False), context, website)
    assert kept(context) == sorted(["/", "/heap", *others])
    assert failed(context) == {"/heap": "links_unread: timeout"}
    # While it was read, the others went on.
    ((before, after),) = (spans[url] for url in spans if url.endswith("/heap"))
    assert after > before


def test_of_a_page_with_heaps_of_links_the_first_are_followed(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 3)
    website.add("/", "home", *(f"/p{i}" for i in range(9)))
    for i in range(9):
        website.add(f"/p{i}")
    crawl(source(), context, website)
    assert kept(context) == ["/", "/p0", "/p1", "/p2"]
    assert failed(context)["/"].startswith("links_cut")


def test_a_packed_page_that_breaks_off_is_asked_for_again_and_not_kept(
    website: Any, context: Context, source: Make
) -> None:
    whole = gzip.compress(b"<p>one</p>") + gzip.compress(b"<a href=/second>two</a>")
    website.answers["/"] = reply(whole, Content_Encoding="gzip")
    website.answers["/second"] = reply(
        gzip.compress(b"<p>text</p>" * 99)[:-12], Content_Encoding="gzip"
    )
    crawl(source(retries=1), context, website)
    assert kept(context) == ["/"]
    assert failed(context)["/second"].startswith("truncated")
    assert website.asked["/second"] == 2


@pytest.mark.parametrize("body", [b"<html><p>not found</p>", b"\x1f\x8bxx", b"\x00" * 50])
def test_what_is_no_sitemap_is_told(
    website: Any, context: Context, source: Make, body: bytes
) -> None:
    website.answers["/sitemap.xml"] = reply(body)
    website.add("/")
    crawl(source(), context, website)
    assert failed(context) == {"/sitemap.xml": "damaged: no sitemap"}


def test_more_sitemaps_and_more_listed_pages_than_there_is_room_for_are_told(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MAX_SITEMAPS", 2)
    website.answers["/robots.txt"] = reply(
        b"".join(b"Sitemap: http://site.test/map%d.txt\n" % i for i in range(3))
    )
    website.answers["/map0.txt"] = reply(b"http://site.test/a\n")
    website.answers["/map1.txt"] = reply(b"\n".join(b"http://site.test/b%d" % i for i in range(30)))
    for path in ("/", "/a"):
        website.add(path)
    crawl(source(max_pages=2), context, website)
    assert failed(context)["/map1.txt"].startswith("sitemaps_cut: only the first 20 pages")
    assert failed(context)["/map2.txt"].startswith("sitemaps_cut: only the first 2 of")
    assert not website.asked["/map2.txt"]


def test_a_host_that_asks_for_an_hour_of_peace_is_left_alone(
    website: Any, context: Context, source: Make
) -> None:
    website.add("/", "home", *(f"/{i}" for i in range(9)))
    for i in range(9):
        website.answers[f"/{i}"] = reply(status=429, Retry_After="3600")
    crawl(source(host_concurrency=1), context, website)
    assert sum(website.asked[f"/{i}"] for i in range(9)) == 1
    assert len(failed(context)) == 9


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown", "text/html"])
def test_noindex_in_a_header_holds_for_every_kind_of_page(
    website: Any, context: Context, source: Make, kind: str
) -> None:
    website.add("/", "home", "/shy")
    body = b"" if kind == "text/html" else b"text"
    website.answers["/shy"] = reply(body, Content_Type=kind, X_Robots_Tag="noindex")
    crawl(source(), context, website)
    assert kept(context) == ["/"]
    assert failed(context) == {"/shy": "noindex"}


@pytest.mark.parametrize(
    ("rule", "link"),
    [
        ("/l?b=1&a=2", "/l?b=1&amp;a=2"),
        ("/*?print&", "/x?print&amp;id=3"),
        ("/*;jsessionid", "/x;jsessionid=0A1B"),
        ("/*sid=", "/x?sid=0123456789abcdef0123"),
        ("/*utm_", "/x?utm_source=mail"),
        ("/x?q=a%20b", "/x?q=a%20b"),
    ],
)
def test_robots_txt_speaks_of_addresses_as_they_are_written(
    website: Any, context: Context, source: Make, rule: str, link: str
) -> None:
    website.answers["/robots.txt"] = reply(f"User-agent: *\nDisallow: {rule}".encode())
    website.add("/", "home", link)
    crawl(source(), context, website)
    assert [path for _, path, _ in website.requests] == ["/robots.txt", "/sitemap.xml", "/"]
    assert set(failed(context).values()) == {"robots_disallowed"}


def test_addresses_that_are_endless_by_themselves_are_counted_once(
    website: Any, context: Context, source: Make
) -> None:
    circle = "/sub" * 5
    website.add("/", "home", circle, "/other")
    website.add("/other", "other", circle)
    result = crawl(source(), context, website)
    assert failed(context) == {circle: "trap: endless by itself"}
    assert result.counts["failures"] == {"trap": 1}


def test_hosts_and_budgets_may_be_spelled_as_people_spell_them() -> None:
    values = WebSource(
        seeds=("http://münchen.de/",),
        hosts=("München.de",),
        budgets={"MÜNCHEN.de": HostBudget(max_pages=3)},
    )
    scope = Scope(values)
    assert scope.is_own("http://xn--mnchen-3ya.de/x")
    assert scope.max_pages_of("xn--mnchen-3ya.de") == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hosts": ("http://a.de/",)}, "not a host name"),
        ({"budgets": {"https://a.de": HostBudget()}}, "not a host name"),
        ({"budgets": {"b.de": HostBudget()}}, "none of the crawl's hosts"),
        ({"budgets": {"a.de": HostBudget(), "A.de": HostBudget()}}, "more than once"),
    ],
)
def test_hosts_that_are_none_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WebSource(seeds=("http://a.de/",), **fields)


def test_a_seed_that_moved_within_its_host_is_followed_whatever_include_says(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/"] = reply(status=301, Location="/start")
    website.add("/start", "start", "/docs/a", "/blog")
    website.add("/docs/a")
    crawl(source(include=("*/docs/*",)), context, website)
    assert kept(context) == ["/docs/a", "/start"]


def test_a_seed_that_moved_to_what_is_excluded_says_so(
    website: Any, context: Context, source: Make
) -> None:
    website.answers["/"] = reply(status=301, Location="/start")
    with pytest.raises(BadInput, match="which `exclude` leaves out"):
        crawl(source(exclude=("*start",)), context, website)


@pytest.mark.parametrize("place", ["robots.txt", "sitemap", "sitemap redirect"])
def test_no_site_sends_the_crawler_into_a_private_network(
    website: Any, context: Context, source: Make, place: str
) -> None:
    inside = f"http://127.0.0.1:{website.port}/secret"
    website.add("/")
    website.answers["/robots.txt"] = {
        "robots.txt": reply(status=302, Location=inside),
        "sitemap": reply(f"Sitemap: {inside}".encode()),
        "sitemap redirect": reply(status=404),
    }[place]
    website.answers["/sitemap.xml"] = reply(status=302, Location=inside)
    crawl(source(), context, website)
    assert kept(context) == ["/"]
    assert not website.asked["/secret"]


def test_on_the_second_night_files_are_asked_for_only_if_they_changed(
    website: Any, context: Context, source: Make, tmp_path: Path
) -> None:
    plain = website.reply

    def conditional(path: str, headers: dict[str, str]) -> Any:
        answer = plain(path, headers)
        if headers.get("If-None-Match") == (tag := answer.headers.get("ETag")) and tag:
            return reply(status=304, ETag=tag)
        return answer

    website.reply = conditional
    website.answers["/robots.txt"] = reply(b"User-agent: *\nDisallow: /no", ETag='"r"')
    website.answers["/sitemap.xml"] = reply(b"http://site.test/listed\n", ETag='"s"')
    website.answers["/rss"] = reply(
        b"<rss><channel><item><link>/post</link></item></channel></rss>",
        Content_Type="application/rss+xml",
        ETag='"f"',
    )
    website.add("/", "home", "/no/way")
    website.add("/listed")
    website.add("/post")
    values = source(seeds=("http://site.test/", "http://site.test/rss"))
    results = []
    before = None
    for night in ("first", "second", "third"):
        (tmp_path / night / "out").mkdir(parents=True)
        where = Context(
            tmp_path / night / "out", tmp_path / night / "work", context.report, Machine()
        )
        website.requests.clear()
        crawl(values, where, website, before)
        before = where.out
        asked = {path: headers.get("If-None-Match") for _, path, headers in website.requests}
        files = [asked[path] for path in ("/robots.txt", "/sitemap.xml", "/rss")]
        results.append((kept(where), failed(where), files))
    pages, refused = ["/", "/listed", "/post"], {"/no/way": "robots_disallowed"}
    assert results[0] == (pages, refused, [None] * 3)
    assert results[1] == results[2] == (pages, refused, ['"r"', '"s"', '"f"'])
