"""The built-in site must be large and dirty enough, crawled quickly, and the same each time."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from protego import Protego
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.site import documentation
from llm.corpus.site.content import Site
from llm.corpus.site.server import site_server
from llm.corpus.sources import builtin, builtin_identity
from llm.corpus.web.crawler import WebSource
from llm.corpus.web.pace import Pace
from llm.step import BadInput, Context, StepResult

SITE = "http://docs.penstock.test"


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> tuple[StepResult, Path, list[float]]:
    """The result of a crawl, its folder, and the pauses that it made (seconds)."""
    base = tmp_path_factory.mktemp("builtin")
    (base / "out").mkdir()
    (base / "work").mkdir()
    pauses = []
    wait = Pace.wait

    def noted(self: Pace, seconds: float) -> None:
        pauses.append(seconds)
        wait(self, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pace, "wait", noted)
        values = WebSource(seeds=("builtin:python-docs",), max_pages=800)
        result = builtin.crawl(values, {}, Context(out=base / "out", work=base / "work"))
    return result, base / "out", pauses


@pytest.fixture
def address() -> Iterator[str]:
    sources = [item for item in documentation.standard_library() if item.name < "b"]
    with site_server(Site(sources, documentation.topics())) as place:
        yield f"http://{place}"


def test_more_than_five_hundred_pages_with_a_megabyte_of_text_come_over_http(
    crawled: tuple[StepResult, Path, list[float]],
) -> None:
    result, out, pauses = crawled
    assert result.counts["pages"] >= 505
    assert result.counts["bytes"] > 2_000_000
    assert result.counts["requests"] >= result.counts["pages"]
    assert len(pauses) >= 505
    assert not any(pauses), "our own server needs no pause"
    urls = pq.read_table(out / "index.parquet")["url"].to_pylist()
    assert {f"{SITE}/library/json.html", f"{SITE}/topics/assert.html", f"{SITE}/"} <= set(urls)
    assert not [url for url in urls if "/private/" in url or "utm_" in url]


def test_the_dirt_of_the_web_is_there(crawled: tuple[StepResult, Path, list[float]]) -> None:
    result, out, _ = crawled
    index = pq.read_table(out / "index.parquet").to_pylist()
    digests = [row["payload_digest"] for row in index]
    assert len(digests) - len(set(digests)) >= 10, "exact duplicates"
    assert sum("/print/" in row["url"] for row in index) >= 10, "near duplicates"
    assert result.counts["failures"]["robots_disallowed"] >= 1
    assert result.counts["failures"]["http_404"] >= 1


def test_every_page_is_html_with_a_title_and_navigation(
    crawled: tuple[StepResult, Path, list[float]],
) -> None:
    _, out, _ = crawled
    seen = 0
    for path in (out / "pages").iterdir():
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type == "response":
                    body = record.content_stream().read()
                    assert b"<title>" in body
                    assert b"<nav" in body
                    seen += 1
    assert seen >= 505


def test_killed_off_by_a_limit_the_pages_are_the_same_each_time(context: Context) -> None:
    values = WebSource(seeds=("builtin:python-docs",), max_pages=40, concurrency=8)
    results = []
    for name in ("one", "two"):
        base = context.out.parent / name
        (base / "out").mkdir(parents=True)
        (base / "work").mkdir()
        where = dataclasses.replace(context, out=base / "out", work=base / "work")
        results.append(builtin.crawl(values, {}, where))
    assert results[0].content == results[1].content
    assert results[0].counts == results[1].counts
    assert results[0].counts["pages"] == 40


def test_an_unknown_built_in_site_is_bad_input(context: Context) -> None:
    with pytest.raises(BadInput, match=r"builtin:python-docs\+packages"):
        builtin.crawl(WebSource(seeds=("builtin:ruby-docs",)), {}, context)


def test_the_site_has_manners(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        rules = Protego.parse(client.get("/robots.txt").text)
        assert not rules.can_fetch(f"{SITE}/private/notes.html", "anybody")
        assert client.get("/private/notes.html").status_code == 200
        assert list(rules.sitemaps) == [f"{SITE}/sitemap.xml"]
        page = client.get("/library/ast.html")
        again = client.get("/library/ast.html", headers={"If-None-Match": page.headers["ETag"]})
        assert (page.status_code, again.status_code, again.content) == (200, 304, b"")
        assert page.headers["Last-Modified"].endswith("GMT")
        assert client.get("/library/nothing.html").status_code == 404
        moved = client.get("/old/")
        assert (moved.status_code, moved.headers["Location"]) == (301, f"{SITE}/library/")
        assert (
            client.get("/mirror/library/__future__.html").content
            == client.get("/library/__future__.html").content
        )


def test_the_server_is_gone_afterwards(address: str) -> None:
    with site_server(Site([], documentation.topics())) as place:
        assert httpx.get(f"http://{place}/").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{place}/")


def test_packages_are_documented_too_when_asked_for() -> None:
    sources = [
        item for item in documentation.installed_packages() if item.name.startswith("pydantic.")
    ]
    site = Site(sources, [])
    page = site.respond("/packages/pydantic.fields.html")
    assert page.status == 200
    assert b"<code>Field(" in page.body
    assert b'<a href="/packages/pydantic.fields.html">' in site.respond("/packages/").body


def test_installed_packages_name_a_crawl_only_where_they_are_crawled() -> None:
    assert builtin_identity.identity(WebSource(seeds=("builtin:python-docs",))) == {}
    found = builtin_identity.identity(WebSource(seeds=("builtin:python-docs+packages",)))
    assert list(found) == ["packages"]
    assert f"httpx=={httpx.__version__}" in documentation.installed_versions()
