"""Archives of odd writers and hostile ones: dictionaries, headers that lie, claims to the file's end."""

import gzip
import io
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.archive import parsing
from llm.corpus.archive.archives import Bad, Other, read_stream
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
def test_records_behind_one_that_was_sent_packed_and_in_chunks_come(pack: type) -> None:
    """FastWARC 2.0.1 ends there where it undoes both codings itself."""
    packed = gzip.compress(BODY)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    said = b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    data = [record("http://a.de/0", body, said), *(record(f"http://a.de/{i}") for i in (1, 2))]
    pages, bad = split(b"".join(pack(item) for item in data))
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


def test_records_that_all_claim_the_rest_of_the_file_are_read_within_a_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing, "_AGAIN_BYTES", 50_000_000)
    data = b"".join(greedy())
    stream = Counted(data)
    found = list(read_stream(stream, 10_000_000, "a"))
    assert 0 < len(found) < 200
    assert stream.given < 5 * 50_000_000


def test_a_packed_record_cannot_claim_the_members_of_others() -> None:
    items = [gzip.compress(item, 1) for item in greedy()]
    stream = Counted(b"".join(items))
    found = list(read_stream(stream, 10_000_000, "a"))
    assert [item.offset for item in found if isinstance(item, Bad)] == [
        sum(map(len, items[:number])) for number in range(len(items))
    ]
    assert stream.given < 3 * len(stream.getvalue())


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.given += len(data)
        return data


def greedy() -> list[bytes]:
    """1000 records, each of which says that it goes on to the end of the file."""
    digest = f"WARC-Block-Digest: sha1:{'A' * 32}\r\n"
    items, left = list[bytes](), 0
    for number in range(1000):
        body = random.Random(number).randbytes(2_000)
        head = record("http://a.de/", b"", more=digest)
        head = head[: head.index(b"Content-Length: ")]
        item = head + b"Content-Length: %d\r\n\r\n" % (len(body) + left) + body
        left += len(item)
        items.insert(0, item)
    return items


def with_ends(ends: bytes, http_ends: bytes, kind: bytes = b"response") -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/html", b"Server: x", b"", BODY]
    block = http_ends.join(lines)
    head = [b"WARC/1.0", b"WARC-Type: " + kind, b"WARC-Target-URI: http://a.de/"]
    head += [b"WARC-Date: 2020-01-01T00:00:00Z", b"Content-Type: application/http"]
    return ends.join([*head, b"Content-Length: %d" % len(block), b"", block, b"", b""])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
@pytest.mark.parametrize("http_ends", [b"\r\n", b"\n"])
def test_lines_may_end_as_they_like(ends: bytes, http_ends: bytes, pack: type) -> None:
    pages, bad = split(pack(with_ends(ends, http_ends)) * 3)
    assert [(page.payload, page.content_type, page.status) for page in pages] == [
        (BODY, "text/html", 200)
    ] * 3
    assert bad == []
    # As an independent reader has it.
    (theirs,) = [
        one.content_stream().read()
        for one in ArchiveIterator(io.BytesIO(with_ends(ends, http_ends)))
    ]
    assert theirs == BODY


def test_mixed_ends_in_one_header_part_its_lines() -> None:
    data = with_ends(b"\r\n", b"\r\n").replace(b"text/html\r\n", b"text/html\n")
    length = int(data.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    data = data.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length - 1))
    (page,), bad = split(data)
    assert (page.content_type, page.headers["server"], page.payload, bad) == (
        "text/html",
        "x",
        BODY,
        [],
    )


def test_answers_that_only_tell_to_wait_are_passed_over() -> None:
    wait = b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    block = wait + hints + b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + BODY
    (page,), bad = split(as_record("response", "http://a.de/", block))
    assert (page.status, page.payload, bad) == (200, BODY, [])
    line = b"http://a.de/ 1.2.3.4 20200101000000 text/html %d\n" % len(block)
    first = b"filedesc://a.arc 0.0.0.0 20200101000000 text/plain 0\n\n"
    (page,), bad = split(first + line + block + b"\n")
    assert (page.status, page.payload, bad) == (200, BODY, [])
    _, (only,) = split(as_record("response", "http://a.de/", wait))
    assert only.reason == "http_100"


def as_record(kind: str, url: str, block: bytes, content_type: str = "application/http") -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2020-01-01T00:00:00Z\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def test_what_holds_no_page_is_counted_by_its_kind_and_what_is_unknown_told() -> None:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nUser-agent: *\n"
    data = [
        as_record("warcinfo", "", b"software: x", "application/warc-fields"),
        as_record("response", "dns:a.de", b"20200101\na.de. 300 IN A 1.2.3.4", "text/dns"),
        as_record("resource", "dns:a.de", b"20200101\na.de. 300 IN A 1.2.3.4", "text/dns"),
        as_record("revisit", "http://a.de/old", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        as_record("response", "http://a.de/robots.txt", http),
        as_record("request", "http://a.de/", b"GET / HTTP/1.1\r\n\r\n"),
        as_record("responze", "http://a.de/typo", http),
        record("http://a.de/"),
    ]
    found = list(read_stream(io.BytesIO(b"".join(data)), 10_000_000, "a"))
    kinds = [item.kind for item in found if isinstance(item, Other)]
    assert kinds == ["warcinfo", "dns", "dns", "revisit", "robots", "request"]
    assert [item.reason for item in found if isinstance(item, Bad)] == ["unknown_type: responze"]
    assert len(found) == len(data)


@pytest.mark.parametrize("packing", ["gz", "zst", "plain"])
def test_a_page_can_be_read_again_from_its_position(packing: str) -> None:
    items = [record(f"http://a.de/{number}", BODY * (number + 1)) for number in range(9)]
    pack: Callable[[bytes], bytes] = {
        "gz": gzip.compress,
        "zst": zstandard.compress,
        "plain": bytes,
    }[packing]
    # One record in a member, three in the next, and so on.
    data = b"".join(pack(b"".join(some)) for some in (items[:1], items[1:4], items[4:5], items[5:]))
    pages, bad = split(data)
    assert (len(pages), bad) == (9, [])
    for page, item in zip(pages, items, strict=True):
        member, _, inner = page.position.removeprefix("a@").partition("+")
        rest = data[int(member) :]
        if packing == "gz":
            rest = zlib.decompressobj(31).decompress(rest)
        elif packing == "zst":
            rest = zstandard.ZstdDecompressor().decompressobj().decompress(rest)
        assert rest[int(inner or 0) :].startswith(item)


def test_of_several_types_the_last_that_is_one_counts() -> None:
    for lines in (
        b"Content-Type: text/html\r\nContent-Type: text/html; charset=utf-8\r\n",
        b"Content-Type: text/html, text/html; charset=utf-8\r\n",
        b"Content-Type: image/png\r\nContent-Type : text/html; charset=utf-8\r\nContent-Type: nothing\r\n",
    ):
        block = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n" + BODY
        (page,), _ = split(as_record("response", "http://a.de/", block))
        assert page.content_type == "text/html; charset=utf-8"


def test_a_date_that_is_none_is_not_taken_over() -> None:
    data = record("http://a.de/").replace(b"2020-01-01T00:00:00Z", b"on a Wednesday      ")
    (page,), _ = split(data)
    assert page.fetched_at == Page.fetched_at
