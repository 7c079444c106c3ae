"""Archives of odd writers and hostile ones: dictionaries, headers that lie, claims to the file's end."""

import gzip
import io
import random
import time

import pytest
import zstandard

from llm.corpus.archive import archives
from llm.corpus.archive.archives import Bad, read_stream
from llm.corpus.archive.pages import Page

BODY = b"<p>A page of some length about nothing.</p>" * 5


def record(url: str, body: bytes = BODY, headers: bytes = b"", more: str = "") -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + headers + b"\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n{more}"
        f"WARC-Date: 2020-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:x:{url}>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def split(data: bytes) -> tuple[list[Page], list[Bad]]:
    found = list(read_stream(io.BytesIO(data), 10_000_000, "a"))
    pages = [item for item in found if isinstance(item, Page)]
    return pages, [item for item in found if isinstance(item, Bad)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_zstd_file_with_a_dictionary_is_read_and_gone_on_with_after_damage(packed: bool) -> None:
    plain = [record(f"http://a.de/{i}", BODY + b"%d" % i) for i in range(200)]
    dictionary = zstandard.train_dictionary(4096, plain)
    stored = dictionary.as_bytes()
    stored = zstandard.compress(stored) if packed else stored
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    frames = [packer.compress(item) for item in plain[:5]]
    start = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
    pages, bad = split(start + b"".join(frames))
    assert ([page.payload[-1:] for page in pages], bad) == ([b"0", b"1", b"2", b"3", b"4"], [])
    frames[1] = frames[1][:4] + bytes(len(frames[1]) - 4)
    pages, bad = split(start + b"".join(frames))
    assert [page.payload[-1:] for page in pages] == [b"0", b"2", b"3", b"4"]
    assert len(bad) == 1
    place = len(start) + len(frames[0]) + len(frames[1])
    assert pages[1].position == f"a@{place}"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_body_that_is_not_packed_as_its_headers_say_is_a_page(pack: type) -> None:
    lies = [b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"]
    data = [record(f"http://a.de/{i}", headers=lie) for i, lie in enumerate(lies)]
    pages, bad = split(b"".join(pack(item) for item in [*data, record("http://a.de/last")]))
    assert ([page.payload for page in pages], bad) == ([BODY] * 3, [])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_body_is_counted_once(pack: type) -> None:
    broken = b"\x1f\x8b\x08" + bytes(range(200))
    data = [
        record("http://a.de/bad", broken, b"Content-Encoding: gzip\r\n"),
        record("http://a.de/"),
    ]
    pages, bad = split(b"".join(pack(item) for item in data))
    assert [page.url for page in pages] == ["http://a.de/"]
    assert [item.reason.partition(":")[0] for item in bad] == ["bad_http"]


@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, 1)])
def test_records_that_all_claim_the_rest_of_the_file_are_read_within_a_budget(
    pack: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_AGAIN_BYTES", 50_000_000)
    digest = f"WARC-Block-Digest: sha1:{'A' * 32}\r\n"
    items, left = list[bytes](), 0
    for number in range(1000):
        body = random.Random(number).randbytes(2_000)
        head = record("http://a.de/", b"", more=digest)
        head = head[: head.index(b"Content-Length: ")]
        item = head + b"Content-Length: %d\r\n\r\n" % (len(body) + left) + body
        left += len(item)
        items.insert(0, item)
    started = time.monotonic()
    _, bad = split(b"".join(pack(item) for item in items))
    assert time.monotonic() - started < 5
    assert 0 < len(bad) < 200
