"""Other people's web archives: every good record comes out, every bad one is counted."""

import base64
import gzip
import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.archive.archives import Bad, Other, read_archive, read_stream
from llm.corpus.archive.pages import Page
from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.archive.warc import POSITION
from llm.corpus.sources import files, warc
from llm.corpus.sources.lists import read_list
from llm.corpus.sources.warc import WarcSource
from llm.machine import Machine
from llm.step import BadInput, Context
from tests.llm.corpus.ranges import FileServer, serve_files

LIMIT = 10_000_000

# Text responses with status 200, text resources and conversions in each archive, as listings of its records show.
PAGES = {
    "warcio/example.warc": 1,
    "warcio/example.warc.gz": 1,
    "warcio/example.arc": 1,
    "warcio/example.arc.gz": 1,
    "warcio/example-space-in-url.arc": 1,
    "warcio/example-iana.org-chunked.warc": 1,
    "warcio/example-resource.warc.gz": 1,
    "warcio/example-wget-bad-target-uri.warc.gz": 1,
    "warcio/example-bad-non-chunked.warc.gz": 1,
    "warcio/example-bad.warc.gz.bad": 1,
    "resiliparse/clueweb-quirk.warc.gz": 29,
    "resiliparse/warcfile.warc": 16,
    "resiliparse/warcfile.warc.gz": 16,
    "resiliparse/warcfile.warc.lz4": 16,
    "whirlwind/whirlwind.warc.gz": 1,
    "whirlwind/whirlwind.warc.wet.gz": 1,
}
# Archives that are broken where a page is, with the reason that must be counted.
BROKEN = {
    "resiliparse/clipped.warc.gz": "truncated",
    "warcio/bad.arc": "bad_http",
    "warcio/example-trunc.warc": "digest",
    "warcio/example-wrong-chunks.warc.gz": "digest",
}


def split(path: Path) -> tuple[list[Page], list[Bad]]:
    found = list(read_archive(path, LIMIT))
    pages = [item for item in found if isinstance(item, Page)]
    return pages, [item for item in found if isinstance(item, Bad)]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "count"), [("sample-0000", 22), ("sample-0001", 15)])
def test_common_crawl_files_hold_the_published_number_of_documents(
    shared_data: Path, context: Context, name: str, count: int
) -> None:
    path = str(shared_data / "crawl" / "common_crawl" / f"{name}.warc.gz")
    result = warc.read(WarcSource(path=path), {"files": files.expand(path)}, context)
    assert result.counts["pages"] == count
    index = pq.read_table(context.out / "index.parquet").to_pylist()
    assert all(row["url"].startswith("http") and row["status"] == 200 for row in index)
    assert all(row["fetched_at"].startswith("20") for row in index)


@pytest.mark.real_data
def test_good_records_of_odd_archives_come_out(shared_data: Path) -> None:
    found = {name: len(split(shared_data / "crawl" / name)[0]) for name in PAGES}
    assert found == PAGES


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["example.arc", "example.arc.gz", "example-space-in-url.arc"])
def test_the_payload_of_an_arc_record_is_whole(shared_data: Path, name: str) -> None:
    path = shared_data / "crawl/warcio" / name
    (page,), bad = split(path)
    data = path.read_bytes()
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    assert not bad
    # The record with spaces in its address counts the blank line after it too.
    assert 0 <= len(page.payload) - int(page.headers["content-length"]) <= 1
    assert page.payload.startswith(b"<!doctype html>")
    assert plain.rstrip().endswith(page.payload.rstrip())
    # Where warcio's own index says that the record begins.
    offset = 171 if name.endswith(".gz") else plain.index(b"http://example.com/", 100)
    assert page.position == f"{name}@{offset}"


@pytest.mark.real_data
def test_the_text_of_a_wet_record_is_whole(shared_data: Path) -> None:
    (page,), bad = split(shared_data / "crawl/whirlwind/whirlwind.warc.wet.gz")
    assert (page.kind, len(page.payload), bad) == ("conversion", 4456, [])
    assert page.url == "https://an.wikipedia.org/wiki/Escopete"


@pytest.mark.real_data
def test_a_resource_is_a_page_where_it_is_text_and_counted_where_not(
    shared_data: Path, context: Context
) -> None:
    folder = shared_data / "crawl/warcio"
    path = folder / "example-resource.warc.gz"
    (page,), bad = split(path)
    assert (page.url, page.kind, bad) == ("http://example.com/", "resource", [])
    assert (page.content_type, page.fetched_at) == (
        "text/html; charset=utf-8",
        "2017-04-29T01:30:30Z",
    )
    # The record says itself what SHA-1 its payload has.
    assert base64.b32encode(page.digest) == b"YXLHEZO6YIEPLHABGCQ2TM24WROPX6ZG"
    warc.read(WarcSource(path=str(path)), {"files": [path]}, context)
    with (context.out / "pages/00000.warc.gz").open("rb") as stream:
        kept = [
            (record.rec_type, record.content_type, record.content_stream().read())
            for record in ArchiveIterator(stream, check_digests="raise")
            if record.rec_type != "warcinfo"
        ]
    assert kept == [("resource", page.content_type, page.payload)]
    _, (picture,) = split(folder / "example-space-in-target-uri.warc.gz")
    assert picture.reason == "content_type: image/png"
    # What wget notes about itself is text, but no page.
    _, notes = split(folder / "example-wget-bad-target-uri.warc.gz")
    assert [item.reason.partition(":")[0] for item in notes] == ["no_page", "no_page"]


@pytest.mark.real_data
def test_broken_archives_are_counted_and_never_crash(shared_data: Path) -> None:
    folders = [shared_data / "crawl" / name for name in ("warcio", "resiliparse", "whirlwind")]
    paths = [path for folder in folders for path in folder.iterdir() if "arc" in path.name]
    assert len(paths) >= 27
    for path in paths:
        pages, bad = split(path)
        name = f"{path.parent.name}/{path.name}"
        assert len(pages) == PAGES.get(name, 0), name
        if name in BROKEN:
            assert BROKEN[name] in {item.reason.partition(":")[0] for item in bad}, name


@pytest.mark.real_data
def test_damage_costs_the_damaged_record_only(shared_data: Path, tmp_path: Path) -> None:
    packed = (shared_data / "crawl/common_crawl/sample-0000.warc.gz").read_bytes()
    plain = (shared_data / "crawl/resiliparse/warcfile.warc").read_bytes()
    length = plain.index(b"Content-Length: ", 40_000)
    cases = {
        "flipped bytes": (packed[:50_000] + b"\x55\xaa" + packed[50_002:], 21),
        "no first record": (packed[20_000:], 20),
        "an empty member first": (gzip.compress(b"") + packed, 22),
        "lost bytes": (plain[:100_000] + plain[101_000:], 15),
        "zeros between": (plain[:100_000] + bytes(1000) + plain[100_000:], 15),
        "an absurd length": (
            plain[:length] + b"Content-Length: 99999999999" + plain[length + 18 :],
            15,
        ),
        "a negative length": (plain[:length] + b"Content-Length: -5" + plain[length + 18 :], 15),
        "cut off": (plain[:300_000], 8),
        "no archive": (b"hello world\n" * 500, 0),
        "no archive, packed": (gzip.compress(b"hello world\n" * 500), 0),
        "empty": (b"", 0),
    }
    path = tmp_path / "damaged.warc"
    for name, (data, expected) in cases.items():
        path.write_bytes(data)
        pages, bad = split(path)
        assert len(pages) == len({page.url for page in pages}) == expected, name
        assert bad or name == "an empty member first", name


def test_failures_name_file_offset_and_reason(context: Context, tmp_path: Path) -> None:
    def response(url: str, status: bytes, body: bytes, kind: bytes = b"text/html") -> bytes:
        block = b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + body
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
            f"WARC-Date: 2020-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:x:{url}>\r\n"
            f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        return head.encode() + block + b"\r\n\r\n"

    good = response("http://a.de/", b"200 OK", b"<p>good</p>")
    data = (
        good
        + response("http://a.de/gone", b"404 No", b"")
        + response("http://a.de/pic", b"200 OK", b"GIF", b"image/gif")
        + response("http://a.de/big", b"200 OK", b"x" * 5000)
    )
    path = tmp_path / "mine.warc"
    path.write_bytes(data)
    values = WarcSource(path=str(path), max_page_bytes=2000)
    result = warc.read(values, {"files": [path]}, context)
    assert result.counts["pages"] == 1
    assert result.counts["failures"] == {"http_404": 1, "content_type": 1, "too_large": 1}
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    reasons = {row["url"]: row["reason"] for row in rows}
    assert reasons["http://a.de/gone"] == f"http_404: at byte {len(good)} of mine.warc"


def test_no_good_record_at_all_is_bad_input(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "none.warc.gz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match=r"no page in .*none\.warc\.gz.*damaged: at byte 0"):
        warc.read(WarcSource(path=str(path)), {"files": [path]}, context)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "warcio/example.warc",
        "warcio/example.warc.gz",
        "warcio/example.arc",
        "warcio/example.arc.gz",
        "resiliparse/block-sized-records.warc.lz4",
    ],
)
def test_a_file_cut_anywhere_or_with_flipped_bits_never_hangs_or_crashes(
    shared_data: Path, name: str
) -> None:
    data = (shared_data / "crawl" / name).read_bytes()
    whole = sum(isinstance(item, Page) for item in read(data))
    for end in range(0, len(data), 1 if len(data) < 4000 else 3):
        assert sum(isinstance(item, Page) for item in read(data[:end])) <= whole, end
    random_bits = random.Random(name)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(random_bits.choice((1, 3, 20))):
            damaged[random_bits.randrange(len(data))] ^= 1 << random_bits.randrange(8)
        read(bytes(damaged))


def read(data: bytes) -> list[Page | Bad]:
    found = read_stream(io.BytesIO(data), LIMIT, "x")
    return [item for item in found if not isinstance(item, Other)]


@pytest.mark.real_data
def test_zstd_archives_are_read_too(shared_data: Path) -> None:
    data = (shared_data / "crawl/resiliparse/warcfile.warc").read_bytes()
    starts = [match.start() for match in re.finditer(rb"WARC/1\.0\r\nWARC-Type", data)]
    ends = [*starts[1:], len(data)]
    records = [zstandard.compress(data[a:b]) for a, b in zip(starts, ends, strict=True)]
    assert len(read(b"".join(records))) == PAGES["resiliparse/warcfile.warc"]
    assert sum(isinstance(item, Page) for item in read(zstandard.compress(data))) == 16


def lz4(data: bytes) -> bytes:
    stream = io.BytesIO()
    with Lz4Writer(stream) as writer:
        writer.write(data)
        writer.finish()
    return stream.getvalue()


PACK = {"zstd": zstandard.compress, "lz4": lz4}


@pytest.mark.real_data
@pytest.mark.parametrize("packing", PACK)
def test_arc_files_are_read_packed_as_warc_files_are(shared_data: Path, packing: str) -> None:
    data = (shared_data / "crawl/warcio/example.arc").read_bytes()
    pack = PACK[packing]
    plain = read(data)
    (page,) = plain
    assert isinstance(page, Page)
    assert len(page.payload) == 1270
    cut = data.index(b"http://example.com/ ")
    assert page.position == f"x@{cut}"
    assert read(pack(data)) == [replace(page, position=f"x@0+{cut}")]
    # A frame each for the file's description and the page.
    first = pack(data[:cut])
    assert read(first + pack(data[cut:])) == [replace(page, position=f"x@{len(first)}")]
    # Many pages, which do not fit into memory at once, and the damage that ends them.
    many = pack(data[:cut] + data[cut:] * 3000)
    assert sum(isinstance(item, Page) for item in read(many)) == 3000
    *pages, last = read(many[: len(many) // 2])
    assert all(isinstance(item, Page) for item in pages)
    assert isinstance(last, Bad)
    assert last.reason.startswith("damaged")
    random_bits = random.Random(packing)
    whole = pack(data)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random_bits.randrange(len(whole))] ^= 1 << random_bits.randrange(8)
        read(bytes(damaged[: random_bits.randrange(len(whole) + 1)]))


@pytest.mark.real_data
def test_a_page_knows_the_file_and_the_byte_where_it_was(
    shared_data: Path, context: Context
) -> None:
    path = shared_data / "crawl/common_crawl/sample-0000.warc.gz"
    warc.read(WarcSource(path=str(path)), {"files": [path]}, context)
    positions = {}
    with (context.out / "pages/00000.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "response":
                headers = record.rec_headers
                positions[headers.get_header(POSITION)] = headers.get_header("WARC-Target-URI")
    assert len(positions) == 22
    with path.open("rb") as stream:
        for position, url in positions.items():
            name, _, offset = position.partition("@")
            stream.seek(int(offset))
            record = next(ArchiveIterator(stream))
            assert (name, record.rec_headers.get_header("WARC-Target-URI")) == (path.name, url)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as files:
        yield files


HASTY = RemoteSettings(delay_seconds=0, backoff_seconds=0, retries=2, timeout_seconds=5)


def on(context: Context, server: FileServer) -> Context:
    return replace(context, machine=Machine(hosts=server.hosts))


def urls(context: Context) -> set[str]:
    return set(pq.read_table(context.out / "index.parquet")["url"].to_pylist())


@pytest.mark.real_data
def test_common_crawl_over_the_network_is_as_from_disk(
    shared_data: Path, context: Context, server: FileServer
) -> None:
    folder = shared_data / "crawl/common_crawl"
    for path in folder.iterdir():
        server.files[f"crawl-data/CC/{path.name}"] = path.read_bytes()
    listed = "".join(f"{name}\n" for name in sorted(server.files))
    server.files["crawl-data/CC/warc.paths.gz"] = gzip.compress(listed.encode())
    values = WarcSource(
        list=server.url("crawl-data/CC/warc.paths.gz"), base=server.url(""), remote=HASTY
    )
    server.misfortunes = ["", "break 30000", "503", "break 200000"]
    result = warc.read(values, {}, on(context, server))
    assert result.counts["pages"] == 22 + 15
    assert result.counts["files"] == 2
    assert [path.name for path in context.work.glob("*.part*")] == []
    assert warc.local_files(values) == []


@pytest.mark.real_data
def test_ranges_of_an_index_fetch_their_records_only(
    shared_data: Path, context: Context, server: FileServer, tmp_path: Path
) -> None:
    path = shared_data / "crawl/common_crawl/sample-0000.warc.gz"
    server.files["cc/sample.warc.gz"] = data = path.read_bytes()
    whole = [page for page in read_archive(path, LIMIT) if isinstance(page, Page)]
    starts = [int(page.position.rpartition("@")[2]) for page in whole]
    rows = [
        {"filename": "cc/sample.warc.gz", "offset": str(a), "length": str(b - a), "url": page.url}
        for page, a, b in zip(whole, starts, [*starts[1:], len(data)], strict=True)
    ]
    lines = [json.dumps(row) for row in rows[:5]]
    lines[1] = f"com,example)/ 20240101000000 {lines[1]}"
    (tmp_path / "ranges.jsonl").write_text("\n".join(lines) + "\n\n")
    values = WarcSource(list=str(tmp_path / "ranges.jsonl"), base=server.url(""), remote=HASTY)
    result = warc.read(values, {}, on(context, server))
    assert result.counts["pages"] == 5
    assert urls(context) == {page.url for page in whole[:5]}
    assert server.ranges()[0] == f"bytes={starts[0]}-{starts[1] - 1}"
    assert server.sent == starts[5] - starts[0]
    # The list decides what is read: it is the source's identity.
    assert warc.local_files(values) == [tmp_path / "ranges.jsonl"]


@pytest.mark.real_data
def test_lists_of_local_files_and_limits(
    shared_data: Path, context: Context, tmp_path: Path
) -> None:
    folder = shared_data / "crawl/common_crawl"
    (tmp_path / "warc.paths").write_text("sample-0000.warc.gz\nsample-0001.warc.gz\n")
    values = WarcSource(list=str(tmp_path / "warc.paths"), base=str(folder), max_records=25)
    inputs = warc.local_files(values)
    assert [path.name for path in inputs] == [
        "warc.paths",
        "sample-0000.warc.gz",
        "sample-0001.warc.gz",
    ]
    assert warc.read(values, {"files": inputs}, context).counts["pages"] == 25
    first = WarcSource(list=str(tmp_path / "warc.paths"), base=str(folder), max_files=1)
    assert [path.name for path in warc.local_files(first)] == ["warc.paths", "sample-0000.warc.gz"]


@pytest.mark.real_data
def test_max_records_stops_the_download(
    shared_data: Path, context: Context, server: FileServer
) -> None:
    data = (shared_data / "crawl/common_crawl/sample-0000.warc.gz").read_bytes()
    server.files["big.warc.gz"] = data * 100
    values = WarcSource(path=server.url("big.warc.gz"), max_records=3, remote=HASTY)
    assert warc.read(values, {}, on(context, server)).counts["pages"] == 3
    # 21 MB were on their way when the reader hung up.
    assert server.sent == 0


@pytest.mark.real_data
def test_an_unreachable_archive_is_gone_on_with_and_a_missing_one_counted(
    shared_data: Path, context: Context, server: FileServer, tmp_path: Path
) -> None:
    for name in ("sample-0000", "sample-0001"):
        path = shared_data / f"crawl/common_crawl/{name}.warc.gz"
        server.files[path.name] = path.read_bytes()
    listed = "gone.warc.gz\nsample-0000.warc.gz\nsample-0001.warc.gz\n"
    (tmp_path / "list.txt").write_text(listed)
    values = WarcSource(list=str(tmp_path / "list.txt"), base=server.url(""), remote=HASTY)
    server.misfortunes = ["", "break 150000", "503", "503", "503"]
    with pytest.raises(ConnectionError, match=r"sample-0000\.warc\.gz breaks off at byte 150000"):
        warc.read(values, {}, on(context, server))
    server.requests.clear()
    result = warc.read(values, {}, on(context, server))
    # What had come before the break is not asked for again, nor the archives that are in.
    assert server.requests == [("/sample-0000.warc.gz", "bytes=150000-")]
    assert result.counts["pages"] == 22 + 15
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    assert {
        "url": server.url("gone.warc.gz"),
        "reason": "http_404: at byte 0 of gone.warc.gz",
    } in rows


def test_a_server_that_has_nothing_is_bad_input(context: Context, server: FileServer) -> None:
    values = WarcSource(path=server.url("none.warc.gz"), remote=HASTY)
    with pytest.raises(BadInput, match=r"no page in 'http://files.test/none.*http_404"):
        warc.read(values, {}, on(context, server))
    values = WarcSource(list=server.url("none.gz"), base=server.url(""), remote=HASTY)
    with pytest.raises(
        BadInput, match=r"the list http://files.test/none.gz cannot be had: http_404"
    ):
        warc.read(values, {}, on(context, server))


def test_the_settings_say_what_goes_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either path or list"):
        WarcSource()
    with pytest.raises(ValueError, match="either path or list"):
        WarcSource(path="a.warc", list="b")
    with pytest.raises(ValueError, match="needs the base address"):
        WarcSource(list="https://a.de/warc.paths.gz")
    address = WarcSource(path="https://a.de/a.warc.gz")
    assert warc.identity(address, "night") == {}
    again = replace(address, read_again="snapshot")
    assert warc.identity(again, "night") == {"snapshot": "night"}
    (tmp_path / "list").write_text('{"filename": "a"}\n')
    with pytest.raises(BadInput, match=r"line 1: needs filename, offset and length \(KeyError"):
        warc.local_files(WarcSource(list=str(tmp_path / "list")))
    (tmp_path / "list").write_text("a.warc\n")
    with pytest.raises(BadInput, match=r"names '.*a\.warc', which is not there"):
        warc.local_files(WarcSource(list=str(tmp_path / "list")))


@pytest.mark.parametrize(
    "line",
    [
        b"https://me:sesam@example.org/a.warc.gz",
        b"https://example.org/a.warc.gz?X-Amz-Signature=sesam",
        b'{"filename": "https://example.org/a?token=sesam", "offset": "0", "length": "9"}',
    ],
)
def test_a_login_in_a_list_is_refused_and_not_told(line: bytes) -> None:
    with pytest.raises(BadInput, match=r"line 2: the address holds .*env:NAME") as error:
        list(read_list(io.BytesIO(b"a.warc.gz\n" + line + b"\n"), "list.txt", "base"))
    assert "sesam" not in str(error.value)


@pytest.mark.parametrize("line", ["../a.warc", "/etc/hostname", "b/../../a.warc"])
def test_a_list_names_nothing_outside_of_its_base(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    (tmp_path / "a.warc").write_bytes(b"x")
    (folder / "list").write_text(f"{line}\n")
    with pytest.raises(BadInput, match=r"list, line 1: .*lies outside of .*: set `base`"):
        warc.local_files(WarcSource(list=str(folder / "list")))
    (folder / "list").write_text("lists/../a.warc\n")
    wider = WarcSource(list=str(folder / "list"), base=str(tmp_path))
    assert [path.name for path in warc.local_files(wider)] == ["list", "a.warc"]
