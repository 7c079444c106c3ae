"""Crawls of a server that sends exact bytes, as sloppy as those that stand on the web."""

import asyncio
import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llm.corpus.extract import ExtractShard, extract
from llm.corpus.sources import warc, web
from llm.corpus.sources.warc import WarcSource
from llm.corpus.web import connect, crawler, fetch
from llm.corpus.web.crawler import WebSource
from llm.machine import Machine
from llm.step import BadInput, Context, StepResult

OK = b"HTTP/1.1 200 OK\r\n"
HTML = b"Content-Type: text/html\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def page(head: bytes = HTML, body: bytes = b"<p>text</p>", status: bytes = OK) -> bytes:
    # Said, so that no request is sent into a connection that is about to be closed.
    end = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    return status + head + end + body


class Wire:
    """Sends for each path the bytes that a test gives it; closes the connection where none are left."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.heads: dict[str, bytes] = {}
        self.tls: ssl.SSLContext | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        if self.tls is not None:
            try:
                connection = self.tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            self.heads[path] = head
            connection.sendall(self.answers.get(path, MISSING))

    def close(self) -> None:
        self.listener.close()

    @property
    def hosts(self) -> dict[str, str]:
        return {"site.test": f"127.0.0.1:{self.port}"}


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


Make = Callable[..., WebSource]


def crawl(
    values: WebSource, context: Context, wire: Wire, before: Path | None = None
) -> StepResult:
    inputs = {"before": [before]} if before else {}
    where = replace(context, machine=Machine(hosts=wire.hosts, workers=1))
    return web.crawl(values, inputs, where)


def kept(context: Context) -> list[str]:
    found = pq.read_table(context.out / "index.parquet")["url"].to_pylist()
    return sorted(url.removeprefix("http://site.test") for url in found)


def failed(context: Context) -> dict[str, str]:
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    return {row["url"].removeprefix("http://site.test"): row["reason"] for row in rows}


def text_of(context: Context) -> dict[str, str]:
    out = context.out.parent / "extracted"
    out.mkdir()
    extract(
        ExtractShard(source="s", part="00000"), {"pages": [context.out]}, replace(context, out=out)
    )
    rows = pq.read_table(out / "documents.parquet").to_pylist()
    return {row["url"].removeprefix("http://site.test"): row["text"] for row in rows}


def linking(*paths: str) -> bytes:
    return page(body="".join(f"<a href='{path}'>x</a>" for path in paths).encode())


def test_one_sloppy_line_loses_no_page_and_no_robots_txt(
    wire: Wire, context: Context, source: Make
) -> None:
    rules = b"User-agent: *\nDisallow: /no"
    wire.answers = {
        "/robots.txt": page(b"X-Foo : bar\r\n", rules),
        "/": linking("/no", "/a", "/b", "/c"),
        "/a": page(b"X Y\r\n" + HTML + b"X-Foo : bar\r\n"),
        "/b": page(status=b"HTTP/1.1 200\n"),
        "/c": OK + HTML + b"Transfer-Encoding: chunked\n\n4\n<p>x\n0\n\n",
    }
    crawl(source(), context, wire)
    assert kept(context) == ["/", "/a", "/b", "/c"]
    assert failed(context) == {"/no": "robots_disallowed"}


@pytest.mark.parametrize(
    "types",
    [
        b"Content-Type: text/html\r\nContent-Type: text/html; charset=windows-1251\r\n",
        b"Content-Type: text/html; charset=windows-1251\r\nContent-Type: text/html\r\n",
        b"Content-Type: text/html, text/html; charset=windows-1251\r\n",
        b"Content-Type: image/png\r\nContent-Type: text/html; charset=windows-1251\r\n",
        b"Content-Type: text/html; charset=windows-1251\r\nContent-Type: nonsense\r\n",
    ],
)
def test_of_two_content_types_the_last_valid_one_counts(
    wire: Wire, context: Context, source: Make, types: bytes
) -> None:
    body = "<p>Проверка связи, и ещё немного слов о погоде в городе.</p>".encode("cp1251")
    wire.answers = {"/": page(types, body)}
    crawl(source(), context, wire)
    assert "погоде в городе" in text_of(context)["/"]


def test_header_lines_have_their_own_scope_on_the_wire_and_in_the_archive(
    wire: Wire, context: Context, source: Make
) -> None:
    tag = b"X-Robots-Tag: "
    wire.answers = {
        "/": linking("/shy", "/theirs", "/mine"),
        "/shy": page(HTML + tag + b"otherbot: nofollow\r\n" + tag + b"noindex\r\n"),
        "/theirs": page(HTML + tag + b"otherbot: noindex, noai\r\n"),
        "/mine": page(HTML + tag + b"otherbot: noindex\r\n" + tag + b"noai\r\n"),
    }
    crawl(source(), context, wire)
    assert kept(context) == ["/", "/mine", "/theirs"]
    text_of(context)
    rows = pq.read_table(context.out.parent / "extracted" / "sidecar.parquet").to_pylist()
    documents = pq.read_table(context.out.parent / "extracted" / "documents.parquet").to_pylist()
    said = {row["url"].rpartition("/")[2]: row.get("opt_out") for row in documents or rows}
    assert (said["theirs"], said["mine"]) == ("", "noai")


def test_a_content_encoding_that_names_no_coding_is_passed_over(
    wire: Wire, context: Context, source: Make
) -> None:
    coding = b"Content-Encoding: "
    wire.answers = {
        "/robots.txt": page(coding + b"none\r\n", b"User-agent: *\nDisallow: /no"),
        "/": linking("/no", "/a", "/b"),
        "/a": page(HTML + coding + b"utf-8\r\n"),
        "/b": page(HTML + coding + b"gzip\r\n" + coding + b"gzip\r\n", gzip.compress(b"<p>b</p>")),
    }
    crawl(source(), context, wire)
    assert kept(context) == ["/", "/a", "/b"]
    assert text_of(context)["/b"] == "b"


def test_a_seed_that_leads_on_by_itself_is_followed(
    wire: Wire, context: Context, source: Make
) -> None:
    wire.answers = {
        "/": page(body=b'<meta http-equiv="refresh" content="0; url=/docs/">'),
        "/docs/": page(HTML + b"Refresh: 5;url=/docs/next\r\n"),
        "/docs/next": page(),
    }
    values = source(max_depth=0, follow_links=False)
    crawl(values, context, wire)
    assert kept(context) == ["/", "/docs/", "/docs/next"]
    again = replace(context, out=context.out.parent / "2", work=context.out.parent / "w")
    again.out.mkdir()
    crawl(values, again, wire, context.out)
    assert kept(again) == ["/", "/docs/", "/docs/next"]


def test_refreshes_in_a_circle_or_without_end_come_to_an_end(
    wire: Wire, context: Context, source: Make
) -> None:
    wire.answers = {
        f"/{i or ''}": page(body=b'<meta http-equiv=refresh content="0; url=/%d">' % (i + 1))
        for i in range(30)
    }
    crawl(source(max_depth=0), context, wire)
    assert len(kept(context)) == 1 + crawler.MAX_REDIRECTS


def test_doubled_locations_lead_to_the_first_that_is_an_address(
    wire: Wire, context: Context, source: Make
) -> None:
    moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
    wire.answers = {
        "/": linking("/a", "/b"),
        "/a": moved + b"Location: /x\r\nLocation: /x\r\n\r\n",
        "/b": moved + b"Location: mailto:a\r\nLocation: /y, z\r\n\r\n",
        "/x": page(),
        "/y,%20z": page(),
    }
    crawl(source(), context, wire)
    assert kept(context) == ["/", "/x", "/y,%20z"]


def test_an_etag_beyond_ascii_closes_nothing_and_freezes_nothing(
    wire: Wire, context: Context, source: Make
) -> None:
    tag = b'ETag: "\xe9t\xc3\xa9"\r\n'
    wire.answers = {
        "/robots.txt": page(tag, b"User-agent: *\nDisallow: /no"),
        "/": page(HTML + tag, b"<a href=/no>x</a><p>first</p>"),
    }
    crawl(source(), context, wire)
    again = replace(context, out=context.out.parent / "2", work=context.out.parent / "w")
    again.out.mkdir()
    wire.answers["/"] = page(HTML + tag, b"<a href=/no>x</a><p>second</p>")
    result = crawl(source(), again, wire, context.out)
    assert failed(again) == {"/no": "robots_disallowed"}
    assert result.counts["changed"] == 1
    assert b"if-none-match" not in wire.heads["/"].lower()
    assert "/no" not in wire.asked


@pytest.mark.parametrize(
    "asked",
    [
        b"Fri, 31 Dec 9999 23:59:59 -2359",
        b"Sun, 06 Nov 99999 08:49:37 GMT",
        b"9" * 5000,
        b"-1",
        "²".encode(),
    ],
)
def test_an_absurd_retry_after_is_that_page_s_failure(
    wire: Wire, context: Context, source: Make, asked: bytes
) -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + asked + b"\r\n\r\n"
    wire.answers = {"/": linking("/a"), "/a": busy}
    crawl(source(retries=0), context, wire)
    assert kept(context) == ["/"]
    assert failed(context)["/a"].startswith("http_503")


def test_of_two_retry_afters_the_longer_one_counts() -> None:
    far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    said = {"retry-after": f"5\n{far:%a, %d %b %Y %H:%M:%S} GMT\n7"}
    assert fetch.retry_after(said) == pytest.approx(3600, abs=60)


def test_an_error_that_nobody_thought_of_is_that_page_s_failure(
    wire: Wire, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.answers = {"/": linking("/a", "/b"), "/a": page(), "/b": page()}
    found_on = crawler.found_on

    def fails(answer: Any, links: Any) -> bytes:
        if answer.url.endswith("/a"):
            raise ZeroDivisionError("of a page")
        return found_on(answer, links)

    monkeypatch.setattr(crawler, "found_on", fails)
    result = crawl(source(), context, wire)
    assert kept(context) == ["/", "/b"]
    assert failed(context) == {"/a": "unforeseen: ZeroDivisionError: of a page"}
    assert result.counts["failures"] == {"unforeseen": 1}
    assert "unforeseen 1, such as http://site.test/a" in result.summary


def resolving(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Let host names resolve to these addresses; a name that is not there does not resolve."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.replace(".", "").isdigit():
            return real(host, port, *rest, **more)
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in names[name]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_host_whose_name_leads_to_a_private_address_is_not_asked(
    wire: Wire, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.answers = {"/": page()}
    resolving(monkeypatch, {"inside.example": ["127.0.0.1"]})
    seed = f"http://inside.example:{wire.port}/"
    with pytest.raises(BadInput, match=r"inside\.example is 127\.0\.0\.1.*private_hosts"):
        crawl(source(seeds=(seed,)), context, wire)
    assert not wire.asked
    allowed = replace(context, work=context.out.parent / "w")
    crawl(source(seeds=(seed,), private_hosts=("inside.example",)), allowed, wire)
    assert "/" in wire.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_seed_that_says_where_it_is_may_be_private(
    wire: Wire, context: Context, source: Make, host: str
) -> None:
    wire.answers = {"/": linking("http://127.0.0.2/x"), "/a": page()}
    crawl(source(seeds=(f"http://{host}:{wire.port}/",)), context, wire)
    assert "/" in wire.asked


def test_names_are_resolved_once_for_each_connection(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def look_up(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        # Another answer each time, as a name server that wants in would give.
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    tried = list[str]()

    async def connect_tcp(self: Any, host: str, *_: Any) -> Any:
        tried.append(host)
        raise connect.httpcore.ConnectError("not tonight")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(connect.httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    connector = connect.AsyncConnector(connect.Gate())
    with pytest.raises(connect.httpcore.ConnectError, match="not tonight"):
        asyncio.run(connector.connect_tcp("a.example", 80))
    assert (asked, tried) == (["a.example"], ["93.184.216.34"])


def test_what_there_was_no_time_for_comes_first_in_the_next_night(
    wire: Wire, context: Context, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"/{i}" for i in range(6)]
    wire.answers = {"/": linking(*paths), **{path: page(body=path.encode()) for path in paths}}
    values = source(host_concurrency=1, concurrency=1, sitemaps=False, max_hours=1.0)
    visit = crawler.Crawler._visit
    limits = list[asyncio.Timeout]()

    def without_clock(seconds: float | None) -> asyncio.Timeout:
        limits.append(asyncio.timeout(None))
        return limits[-1]

    async def until_three_are_kept(self: Any, *arguments: Any) -> bool:
        if self.kept == 3:
            limits[-1].reschedule(asyncio.get_running_loop().time())  # the hour is over
            await asyncio.Event().wait()
        return await visit(self, *arguments)

    monkeypatch.setattr(crawler.Crawler, "_visit", until_three_are_kept)
    monkeypatch.setattr(crawler, "timeout", without_clock)
    crawl(values, context, wire)
    assert kept(context) == ["/", "/0", "/1"]
    left = pq.read_table(context.out / "left.parquet")["url"].to_pylist()
    assert left == [f"http://site.test{path}" for path in paths[2:]]
    monkeypatch.undo()
    wire.asked.clear()
    again = replace(context, out=context.out.parent / "2", work=context.out.parent / "w")
    again.out.mkdir()
    crawl(values, again, wire, context.out)
    assert wire.asked == ["/robots.txt", "/", *paths[2:], *paths[:2]]
    assert not (again.out / "left.parquet").exists()


def test_a_crawl_goes_on_with_the_time_that_it_has_left(
    wire: Wire, context: Context, source: Make
) -> None:
    wire.answers = {"/": page()}
    frontier = web.Frontier(context.work)
    frontier.add_number("milliseconds", 3_600_000)
    frontier.close()
    with pytest.raises(ConnectionError, match="max_hours"):
        crawl(source(max_hours=1.0), context, wire)
    crawl(source(max_hours=1.0), context, wire)
    assert kept(context) == ["/"]


def test_an_archive_of_others_keeps_header_lines_apart(wire: Wire, context: Context) -> None:
    def record(path: str, *lines: str) -> bytes:
        http = "\r\n".join(
            ["HTTP/1.1 200 OK", "Content-Type: text/html", *lines, "", "<p>text</p>"]
        )
        head = [
            "WARC/1.0", "WARC-Type: response", f"WARC-Target-URI: http://site.test{path}",
            "WARC-Date: 2024-01-02T03:04:05Z", f"WARC-Record-ID: <urn:uuid:{path}>",
            "Content-Type: application/http", f"Content-Length: {len(http)}", "", http, "", "",
        ]  # fmt: skip
        return "\r\n".join(head).encode()

    tag = "X-Robots-Tag: "
    archive = context.work / "a.warc"
    archive.write_bytes(
        record("/theirs", tag + "otherbot: noindex, noai")
        + record("/mine", tag + "otherbot: noindex", tag + "noai")
        + record("/typed", "Content-Type: text/html; charset=utf-8", "Content-Type: text/html")
    )
    warc.read(WarcSource(path=str(archive)), {}, context)
    rows = pq.read_table(context.out / "index.parquet").to_pylist()
    types = {row["url"].rpartition("/")[2]: row["content_type"] for row in rows}
    assert types["typed"] == "text/html; charset=utf-8"
    text_of(context)
    found = pq.read_table(context.out.parent / "extracted" / "documents.parquet").to_pylist()
    said = {row["url"].rpartition("/")[2]: row["opt_out"] for row in found}
    assert (said["theirs"], said["mine"]) == ("", "noai")


def certified(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that `name` has given to itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    return folder / "certificate", folder / "key"


def test_tls_and_the_host_header_keep_to_the_name(
    wire: Wire, context: Context, source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certified(tmp_path, "site.test")
    names = list[str]()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.sni_callback = lambda connection, name, _: names.append(name)  # type: ignore[assignment]
    wire.tls = tls
    wire.answers = {"/": page(HTML + b"X-Foo : bar\r\n")}
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    crawl(source(seeds=("https://site.test/",)), context, wire)
    assert b"host: site.test\r\n" in wire.heads["/"].lower()
    assert set(names) == {"site.test"}
    # Another name's certificate is refused, though the address is the same.
    other = Machine(hosts={"other.test": f"127.0.0.1:{wire.port}"})
    values = source(seeds=("https://other.test/",), retries=0)
    with pytest.raises(ConnectionError, match="certificate"):
        web.crawl(values, {}, replace(context, work=tmp_path / "w", machine=other))
