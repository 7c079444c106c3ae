"""The second night must download only what changed, say so, and know what is gone."""

import dataclasses
import email.utils
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.extract import ExtractShard, extract
from llm.corpus.site import documentation
from llm.corpus.site.content import HOST, Site
from llm.corpus.site.server import site_server
from llm.corpus.sources import web
from llm.corpus.web.crawler import WebSource
from llm.corpus.web.frontier import Frontier
from llm.machine import Machine
from llm.step import BadInput, Context, StepResult

Make = Callable[..., WebSource]
SITE = "http://site.test"
NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
SAME_PAYLOAD = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


def night(
    values: WebSource, context: Context, site: Any, name: str, before: Path | None = None
) -> tuple[StepResult, Path]:
    base = context.out.parent / name
    for folder in (base / "out", base / "work"):
        folder.mkdir(parents=True)
    where = dataclasses.replace(
        context, out=base / "out", work=base / "work", machine=Machine(hosts=site.hosts)
    )
    site.requests.clear()
    return web.crawl(values, {"before": [before]} if before else {}, where), where.out


def page(text: str, *links: str, etag: str = "", modified: str = "", **headers: str) -> Any:
    """An answer that gives 304 to whom it should (RFC 9110, 13.1)."""
    body = f"<p>{text}</p>" + "".join(f"<a href='{link}'>x</a>" for link in links)
    said = {"ETag": etag, "Last-Modified": modified} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    said = {name: value for name, value in said.items() if value}
    return SimpleNamespace(body=body.encode(), status=200, headers=said, slow=0.0)


def conditional(site: Any) -> None:
    """Make the site heed If-None-Match and, where there is no ETag, If-Modified-Since."""
    plain = site.reply

    def reply(path: str, headers: dict[str, str]) -> Any:
        answer = plain(path, headers)
        etag, modified = (answer.headers.get(name) for name in ("ETag", "Last-Modified"))
        same = headers.get("If-None-Match") == etag if etag else False
        if not etag and modified:
            same = headers.get("If-Modified-Since") == modified
        if answer.status == 200 and same:
            return SimpleNamespace(body=b"", status=304, headers=dict(answer.headers), slow=0.0)
        return answer

    site.reply = reply


def index(out: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(out / "index.parquet").to_pylist()
    assert len({row["url"] for row in rows}) == len(rows)
    return {row["url"].removeprefix(SITE): row for row in rows}


def gone(out: Path) -> dict[str, str]:
    rows = pq.read_table(out / "gone.parquet").to_pylist()
    return {row["url"].removeprefix(SITE): row["reason"] for row in rows}


def records(out: Path) -> dict[tuple[str, str], Any]:
    """(type, path) → record headers, as warcio reads them, digests checked."""
    found = {}
    for path in sorted((out / "pages").iterdir()):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                url = record.rec_headers.get_header("WARC-Target-URI") or ""
                record.content_stream().read()
                key = (record.rec_type, url.removeprefix(SITE))
                assert key not in found
                found[key] = record
    return found


YESTERDAY = email.utils.formatdate(1_700_000_000, usegmt=True)
PATHS = (
    "/tagged",
    "/dated",
    "/bare",
    "/edited",
    "/missing",
    "/removed",
    "/closed",
    "/shy",
    "/busy",
)


@pytest.fixture
def nights(website: Any, context: Context, source: Make) -> Any:
    """Two nights of one site, and what happened on it between them."""
    conditional(website)
    answers = website.answers
    answers["/"] = page("home", *PATHS, etag='"home"')
    answers["/tagged"] = page("tagged", "/below", etag='W/"1"')
    answers["/below"] = page("below", etag='"below"')
    answers["/dated"] = page("dated", modified=YESTERDAY)
    for path in PATHS[2:]:
        answers[path] = page(path, etag="" if path == "/bare" else f'"{path}"')
    values = source(retries=0)
    first, before = night(values, context, website, "first")

    answers["/robots.txt"] = SimpleNamespace(
        body=b"User-agent: *\nDisallow: /closed", status=200, headers={}, slow=0.0
    )
    answers["/edited"] = page("edited anew", "/fresh", etag='"2"')
    answers["/fresh"] = page("fresh", etag='"f"')
    answers["/missing"] = page("")
    answers["/missing"].status = 404
    del answers["/removed"]
    answers["/"] = page("home again", *[p for p in PATHS if p != "/removed"], etag='"home2"')
    answers["/shy"] = page("<meta name=robots content=noindex>shy", etag='"3"')
    answers["/busy"] = page("")
    answers["/busy"].status = 503
    second, after = night(values, context, website, "second", before)
    return SimpleNamespace(
        first=first, before=before, second=second, after=after, values=values, site=website
    )


def test_only_what_changed_is_downloaded_and_all_else_is_known(nights: Any) -> None:
    rows = index(nights.after)
    assert {path: row["state"] for path, row in rows.items()} == {
        "/": "changed",
        "/tagged": "unchanged",
        "/below": "unchanged",  # found through the links kept of a page that did not come
        "/dated": "unchanged",
        "/bare": "unchanged",
        "/edited": "changed",
        "/fresh": "new",
        "/busy": "unseen",
    }
    assert {path for path, row in rows.items() if row["part"]} == {"/", "/edited", "/fresh"}
    old = index(nights.before)
    for path in ("/tagged", "/below", "/dated", "/bare", "/busy"):
        for name in ("payload_digest", "etag", "last_modified", "bytes", "content_type", "depth"):
            assert rows[path][name] == old[path][name], (path, name)
        assert rows[path]["fetched_at"] == old[path]["fetched_at"]
    assert {row["state"] for row in old.values()} == {"new"}
    counts = nights.second.counts
    assert {name: counts[name] for name in ("new", "changed", "unchanged", "gone", "unseen")} == {
        "new": 1,
        "changed": 2,
        "unchanged": 4,
        "gone": 4,
        "unseen": 1,
    }
    assert counts["pages"] == 7
    assert counts["not_downloaded"] == 3
    assert counts["saved_bytes"] == sum(rows[p]["bytes"] for p in ("/tagged", "/below", "/dated"))
    assert nights.second.summary.partition(";")[0] == (
        "1 new, 2 changed, 4 unchanged (3 of them not downloaded), 4 gone, 1 not reached"
    )
    assert max(nights.site.asked.values()) == 1


def test_what_is_gone_is_told_with_its_reason_and_what_was_not_reached_is_not_gone(
    nights: Any,
) -> None:
    assert gone(nights.after) == {
        "/missing": "http_404",
        "/removed": "http_404",  # nothing links to it any more: it was asked for all the same
        "/closed": "robots_disallowed",
        "/shy": "noindex",
    }
    assert gone(nights.before) == {}
    assert nights.site.asked["/closed"] == 0


def test_records_are_such_as_other_programs_read(nights: Any) -> None:
    found = records(nights.after)
    kinds = {kind: {path for k, path in found if k == kind} for kind, _ in found}
    assert kinds["response"] == {"/", "/edited", "/fresh"}
    assert kinds["revisit"] == {"/tagged", "/below", "/dated", "/bare"}
    assert kinds["request"] == kinds["response"] | kinds["revisit"]
    old = records(nights.before)
    assert {path for kind, path in old if kind == "revisit"} == set()
    for path in kinds["request"]:
        kind = "response" if path in kinds["response"] else "revisit"
        request, own = found["request", path].rec_headers, found[kind, path].rec_headers
        assert request.get_header("WARC-Concurrent-To") == own.get_header("WARC-Record-ID")
        assert request.get_header("WARC-Date") == own.get_header("WARC-Date")
    for path in kinds["revisit"]:
        own, first = found["revisit", path].rec_headers, old["response", path].rec_headers
        profile = SAME_PAYLOAD if path == "/bare" else NOT_MODIFIED
        assert own.get_header("WARC-Profile") == profile
        for refers, to in (
            ("WARC-Refers-To", "WARC-Record-ID"),
            ("WARC-Refers-To-Target-URI", "WARC-Target-URI"),
            ("WARC-Refers-To-Date", "WARC-Date"),
            ("WARC-Payload-Digest", "WARC-Payload-Digest"),
        ):
            assert own.get_header(refers) == first.get_header(to)
    asked = found["request", "/tagged"].http_headers
    assert asked.protocol == "GET"
    assert asked.get_header("If-None-Match") == 'W/"1"'
    assert asked.get_header("Host") == "site.test"
    assert found["revisit", "/tagged"].http_headers.get_statuscode() == "304"
    with (nights.after / "pages" / "00000.warc.gz").open("rb") as stream:
        whole = [r for r in FastIterator(stream, parse_http=False) if r.verify_block_digest()]
    assert len(whole) == len(found) - 1  # all but the one about the file
    assert sum(record.record_type == WarcRecordType.revisit for record in whole) == 4


def test_a_night_without_news_is_no_error_and_its_shard_is_empty(
    nights: Any, context: Context, tmp_path: Path
) -> None:
    third, out = night(nights.values, context, nights.site, "third", nights.after)
    fourth, last = night(nights.values, context, nights.site, "fourth", out)
    rows = index(last)
    assert {path for path, row in rows.items() if row["state"] == "unchanged"} == {
        "/", "/tagged", "/below", "/dated", "/bare", "/edited", "/fresh",
    }  # fmt: skip
    assert gone(last) == {}
    assert (fourth.content, fourth.parts) == (third.content, third.parts)
    assert list(fourth.parts) == ["00000"]
    assert fourth.parts != nights.second.parts
    assert fourth.counts["downloaded_bytes"] < nights.first.counts["downloaded_bytes"]
    (tmp_path / "texts").mkdir()
    where = dataclasses.replace(context, out=tmp_path / "texts")
    result = extract(ExtractShard(source="s", part="00000"), {"pages": [last]}, where)
    assert result.counts["documents"] == 0


def test_only_new_and_changed_pages_are_read_again(
    nights: Any, context: Context, tmp_path: Path
) -> None:
    where = dataclasses.replace(context, out=tmp_path)
    result = extract(ExtractShard(source="s", part="00000"), {"pages": [nights.after]}, where)
    assert result.counts["documents"] == 3


def test_a_full_recrawl_downloads_everything_and_tells_what_changed(
    nights: Any, context: Context
) -> None:
    values = dataclasses.replace(nights.values, recrawl="full")
    full, out = night(values, context, nights.site, "full", nights.before)
    assert {path: row["state"] for path, row in index(out).items()} == {
        path: row["state"] for path, row in index(nights.after).items()
    }
    assert gone(out) == gone(nights.after)
    assert full.parts == nights.second.parts
    assert full.content == nights.second.content
    assert full.counts["not_downloaded"] == 0
    kinds = records(out)
    assert kinds["revisit", "/tagged"].rec_headers.get_header("WARC-Profile") == SAME_PAYLOAD
    assert not any("If-None-Match" in headers for _, _, headers in nights.site.requests)


@pytest.mark.parametrize(
    ("name", "value", "is_term"),
    [
        ("X-Robots-Tag", "noai", True),
        ("TDM-Reservation", "1", True),
        ("Link", "<http://a.de/by>; rel=license, </x.css>; rel=preload", True),
        ("Link", "</x.css>; rel=preload", False),
    ],
)
def test_the_same_text_on_other_terms_is_a_change(
    website: Any, context: Context, source: Make, name: str, value: str, is_term: bool
) -> None:
    conditional(website)
    website.answers["/"] = page("home", etag='"1"')
    first, before = night(source(), context, website, "first")
    website.answers["/"].headers[name] = value
    result, out = night(source(), context, website, "second", before)
    assert result.counts["changed"] == is_term
    if is_term:
        assert records(out)["response", "/"].http_headers.get_header(name) == value
        assert result.parts != first.parts
    again, _ = night(source(), context, website, "third", out)
    assert again.counts["unchanged"] == 1


def test_a_second_night_that_is_broken_off_comes_to_the_same(
    nights: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = context.out.parent / "broken"
    base.mkdir()
    where = dataclasses.replace(
        context, work=base / "work", machine=Machine(hosts=nights.site.hosts)
    )
    nights.site.requests.clear()
    keep = Frontier.keep
    for most in (0, 2, 3, 99):  # so many pages, then the process is gone
        left = [most]

        def kill(self: Frontier, *arguments: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            keep(self, *arguments)

        monkeypatch.setattr(Frontier, "keep", kill)
        shutil.rmtree(base / "out", ignore_errors=True)
        (base / "out").mkdir()
        try:
            where = dataclasses.replace(where, out=base / "out")
            result = web.crawl(nights.values, {"before": [nights.before]}, where)
        except KeyboardInterrupt:
            assert most < 99
    assert (result.content, result.parts) == (nights.second.content, nights.second.parts)
    assert index(where.out).keys() == index(nights.after).keys()
    assert gone(where.out) == gone(nights.after)
    twice = [path for path, count in nights.site.asked.items() if count > 1]
    assert len(twice) <= 3 * nights.values.host_concurrency


def test_a_crawl_of_an_older_program_is_downloaded_again(nights: Any, context: Context) -> None:
    (nights.before / "links.parquet").unlink()
    path = nights.before / "index.parquet"
    old = pq.read_table(path).drop_columns(["state", "etag", "last_modified"])
    pq.write_table(old, path)
    result, out = night(nights.values, context, nights.site, "anew", nights.before)
    assert result.counts["not_downloaded"] == 0
    assert index(out)["/below"]["state"] == "unchanged"
    assert gone(out) == gone(nights.after)


def test_a_damaged_night_before_is_bad_input(
    website: Any, context: Context, source: Make, tmp_path: Path
) -> None:
    website.add("/")
    with pytest.raises(BadInput, match="recrawl: full"):
        night(source(), context, website, "second", tmp_path / "nothing")


def test_the_built_in_site_sends_nothing_twice(context: Context) -> None:
    sources = [item for item in documentation.standard_library() if item.name < "ast"]
    values = WebSource(seeds=(f"{documentation.SITE}/",), delay_seconds=0.0, max_pages=30)
    folders: list[Path] = []
    with site_server(Site(sources, documentation.topics())) as place:
        for name in ("one", "two"):
            base = context.out.parent / name
            for folder in (base / "out", base / "work"):
                folder.mkdir(parents=True)
            machine = Machine(hosts={HOST: place})
            where = dataclasses.replace(
                context, out=base / "out", work=base / "work", machine=machine
            )
            result = web.crawl(values, {"before": folders}, where)
            folders = [where.out]
    assert result.summary.startswith(
        "0 new, 0 changed, 30 unchanged (not downloaded), 0 gone; 1 gave"
    )
    assert result.counts["saved_bytes"] > 100_000 > result.counts["downloaded_bytes"]
