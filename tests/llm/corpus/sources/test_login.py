"""A secret lets the crawler in where it is meant to, and is nowhere else: no host, no file, no log."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.crawl import CrawlSettings
from llm.corpus.sources import warc, web
from llm.corpus.sources.warc_settings import WarcSource
from llm.corpus.web.crawler import WebSource
from llm.corpus.web.login import Login, login
from llm.machine import Machine
from llm.step import BadInput, Context, Reporter
from tests.llm.corpus.ranges import serve_files

SECRET = "s3cr3t-0a1b2c3d4e5f"
Make = Callable[..., WebSource]


class Said(Reporter):
    """Keeps everything that a step says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    warning = info


def locked(site: Any) -> None:
    """A site whose pages only those see who know the secret."""
    plain = site.reply

    def reply(path: str, headers: dict[str, str]) -> Any:
        answer = plain(path, headers)
        if headers.get("Authorization") != f"Bearer {SECRET}" and path != "/robots.txt":
            return SimpleNamespace(body=b"who are you?", status=401, headers={}, slow=0.0)
        return answer

    site.reply = reply


def everything(*folders: Path) -> bytes:
    """All bytes below the folders, names too, unpacked where they are packed."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            found.append(str(path).encode())
            if path.is_file():
                data = path.read_bytes()
                found.append(gzip.decompress(data) if path.suffix == ".gz" else data)
    return b"\n".join(found)


def test_a_secret_opens_the_site_and_is_written_nowhere(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", SECRET + "\n")
    locked(website)
    website.add("/", "home", "/a", "/away", "/missing", "/echo", "/session")
    website.add("/a", "a")
    website.add("/echo", f"your key is {SECRET}")
    website.add("/session", "s", headers={"Set-Cookie": "id=0a1b", "X-Debug": f"got {SECRET}"})
    website.answers["/away"] = SimpleNamespace(
        body=b"", status=302, headers={"Location": "http://other.test/"}, slow=0.0
    )
    report = Said()
    values = source(headers={"Authorization": "Bearer env:SITE_TOKEN"})
    where = Context(context.out, context.work, report, Machine(hosts=website.hosts))
    result = web.crawl(values, {}, where)
    assert result.counts["pages"] == 3
    assert result.counts["failures"]["tells_the_login"] == 1
    written = everything(context.out, context.work)
    assert b"GET /a HTTP/1.1" in written
    assert b"id=0a1b" not in written
    for text in (written.decode("latin-1"), repr(result), *report.lines, repr(values)):
        assert SECRET not in text
        assert "Authorization: Bearer s" not in text


def test_a_secret_never_follows_a_redirect_to_another_host(
    website: Any, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", SECRET)
    website.add("/", "home")
    website.answers["/robots.txt"] = lambda before: SimpleNamespace(
        body=b"", status=302, headers={"Location": "http://other.test/rules"}, slow=0.0
    )
    website.answers["/rules"] = SimpleNamespace(
        body=b"Sitemap: http://cdn.test/map.xml", status=200, headers={}, slow=0.0
    )
    website.answers["/map.xml"] = SimpleNamespace(
        body=b"http://site.test/listed\n", status=200, headers={}, slow=0.0
    )
    website.add("/listed", "listed")
    hosts = dict.fromkeys(("site.test", "other.test", "cdn.test"), f"127.0.0.1:{website.port}")
    values = source(headers={"X-Key": "env:SITE_TOKEN"})
    where = Context(context.out, context.work, Reporter(), Machine(hosts=hosts))
    assert web.crawl(values, {}, where).counts["pages"] == 2
    seen = {headers["Host"]: headers.get("X-Key") for _, _, headers in website.requests}
    assert seen == {"site.test": SECRET, "other.test": None, "cdn.test": None}


def test_secrets_go_over_https_unless_the_seeds_do_not() -> None:
    own = Login(
        {"Cookie": SECRET}, frozenset({("https", "a.de"), ("https", "b.de"), ("http", "b.de")})
    )
    sent = {
        url: bool(own.headers(url))
        for url in ("https://a.de/x", "http://a.de/x", "http://b.de/", "https://a.de:8443/",
                    "https://a.de.evil.com/", "https://evil.com/?a.de", "https://xa.de/")
    }  # fmt: skip
    assert [url for url, is_sent in sent.items() if is_sent] == ["https://a.de/x", "http://b.de/"]
    assert SECRET not in repr(own)
    kept = own.without_secrets({"cookie": SECRET, "accept": "text/html"})
    assert kept == {"accept": "text/html"}


def test_what_is_missing_or_cannot_be_sent_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SITE_TOKEN", raising=False)
    with pytest.raises(BadInput, match="SITE_TOKEN is not set"):
        login({"Cookie": "env:SITE_TOKEN"}, {"a.de"}, set())
    monkeypatch.setenv("SITE_TOKEN", SECRET + "\nHost: evil")
    with pytest.raises(BadInput, match="SITE_TOKEN") as caught:
        login({"Cookie": "env:SITE_TOKEN"}, {"a.de"}, set())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Authorization": "Bearer abc"}, "must name an environment variable"),
        ({"User-Agent": "env:AGENT"}, "sets the header User-Agent itself"),
        ({"If-None-Match": "env:X"}, "sets the header If-None-Match itself"),
        ({"No Name": "env:X"}, "is no name of a header"),
    ],
)
def test_a_recipe_holds_no_secret(headers: dict[str, str], said: str) -> None:
    source = {"type": "web", "seeds": ["http://a.de/"], "headers": headers}
    with pytest.raises(pydantic.ValidationError, match=said):
        pydantic.TypeAdapter(CrawlSettings).validate_python({"sources": {"a": source}})


@pytest.mark.parametrize(
    ("header", "told", "silent"),
    [
        ("Bearer s3cr3t-0a1b", ["<p>s3cr3t-0a1b</p>"], ["bearer of news", "s3cr3t"]),
        ("first-0a1b second-2c3d", ["x first-0a1b", "x second-2c3d"], ["first", "second"]),
        (
            "sid=0a1b2c3d; lang=en; theme=dark",
            ["sid is 0a1b2c3d"],
            ["sid", "in English, en", "dark"],
        ),
        (
            "Basic bWU6c2VzYW0tMTIz",
            ["me:sesam-123", "sesam-123", "bWU6c2VzYW0tMTIz"],
            ["me", "Basic"],
        ),
        ('token="0a1b2c3d4e"', ["0a1b2c3d4e"], ["token"]),
        ("a/b+c=d/e", ["to=d%2Fe"], ["nothing"]),
        ("pin", ["your pin"], ["other"]),
    ],
)
def test_every_word_of_a_login_is_recognised(
    header: str, told: list[str], silent: list[str]
) -> None:
    held = Login({"X": header})
    assert [text for text in told if not held.is_told_by(text.encode())] == []
    assert [text for text in silent if held.is_told_by(text.encode())] == []


def test_an_archive_is_read_with_a_secret_that_no_other_host_gets(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_TOKEN", SECRET)
    with serve_files() as files:
        files.files["a.warc.gz"] = files.files["b.warc.gz"] = archive()
        files.files["list"] = f"a.warc.gz\nhttp://other.test:{files.port}/b.warc.gz\n".encode()
        hosts = {**files.hosts, f"other.test:{files.port}": f"127.0.0.1:{files.port}"}
        values = WarcSource(
            list=files.url("list"),
            base=files.url(""),
            headers={"X-Key": "env:ARCHIVE_TOKEN"},
            remote=RemoteSettings(delay_seconds=0),
        )
        away = f"move http://other.test:{files.port}/a.warc.gz"
        files.misfortunes = ["fine", away]
        where = Context(context.out, context.work, Reporter(), Machine(hosts=hosts))
        result = warc.read(values, {}, where)
        seen = [(name.partition(":")[0], headers.get("X-Key")) for name, headers in files.headers]
    assert seen == [
        ("files.test", SECRET),
        ("files.test", SECRET),
        ("other.test", None),
        ("other.test", None),
    ]
    assert result.counts["pages"] == 2
    assert SECRET.encode() not in everything(context.out, context.work)


def archive() -> bytes:
    """A WARC file of one page, as warcio writes it."""
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=True)
    headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
    body = io.BytesIO(b"<p>A page of some words.</p>")
    record = writer.create_warc_record(
        "https://page.example/", "response", body, http_headers=headers
    )
    writer.write_record(record)
    return buffer.getvalue()


def test_headers_need_an_address_and_the_environment(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="headers go with addresses"):
        WarcSource(path="a.warc.gz", headers={"X-Key": "env:ARCHIVE_TOKEN"})
    with pytest.raises(ValueError, match="must name an environment variable"):
        WarcSource(path="https://a.example/a", headers={"X-Key": SECRET})
    monkeypatch.delenv("ARCHIVE_TOKEN", raising=False)
    values = WarcSource(path="https://a.example/a", headers={"X-Key": "env:ARCHIVE_TOKEN"})
    with pytest.raises(BadInput, match="ARCHIVE_TOKEN is not set"):
        warc.read(values, {}, context)
