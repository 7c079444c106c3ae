"""Other people's web archives: every good record comes out, every bad one is counted."""

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm.corpus.archives import Bad, read_archive
from llm.corpus.pages import Page
from llm.corpus.sources import files, warc
from llm.corpus.sources.warc import WarcSource
from llm.step import BadInput, Context

LIMIT = 10_000_000

# Text responses with status 200 and conversions in each archive, as listings of its records show.
PAGES = {
    "warcio/example.warc": 1,
    "warcio/example.warc.gz": 1,
    "warcio/example.arc": 1,
    "warcio/example.arc.gz": 1,
    "warcio/example-space-in-url.arc": 1,
    "warcio/example-iana.org-chunked.warc": 1,
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
def test_the_text_of_a_wet_record_is_whole(shared_data: Path) -> None:
    (page,), bad = split(shared_data / "crawl/whirlwind/whirlwind.warc.wet.gz")
    assert (page.kind, len(page.payload), bad) == ("conversion", 4456, [])
    assert page.url == "https://an.wikipedia.org/wiki/Escopete"


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
