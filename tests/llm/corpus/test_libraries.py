"""What we rely on in FastWARC and Resiliparse, which have changed under us before: each point alone.

The archives are written as ISO 28500 has them, by hand; the pages as the HTML standard has them.
"""

import gzip
import io

import pyarrow as pa
import pytest
from fastwarc.stream_io import Lz4Reader
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from llm.corpus.archive.records import POSITION

TEXT = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion


def record(
    kind: str, block: bytes, content_type: str = "application/http; msgtype=response"
) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: <https://a.example/ü?b=%20>\r\n"
        "WARC-Record-ID: <urn:uuid:12345678-1234-4234-8234-123456789abc>\r\n"
        f"warc-date: 2026-01-01T00:00:00Z\r\n{POSITION}: page%0A1\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def read(archive: bytes) -> list[tuple[WarcRecord, bytes]]:
    found = ArchiveIterator(io.BytesIO(archive), record_types=TEXT, auto_decode="none")
    return [(one, one.reader.read()) for one in found]


PAGE = b"HTTP/1.1 404 Not Found\r\nX-A: one\r\nx-a: t\xfcwo\r\nContent-Encoding: gzip\r\n\r\n"


def test_only_records_with_text_come_in_their_order_with_their_bytes() -> None:
    bodies = [b"", b"one", "zwei \u00fc".encode(), b"WARC/1.1\r\n\r\n" * 3, b"x" * 100_000]
    parts = [record("warcinfo", b"software: a\r\n", "application/warc-fields")]
    for body in bodies:
        parts += [record("request", b"GET / HTTP/1.1\r\n\r\n"), record("response", PAGE + body)]
        parts += [record("metadata", b"a: b\r\n"), record("conversion", body, "text/plain")]
        parts += [record("resource", body, "text/plain"), record("revisit", PAGE)]
    for packed in (parts, [gzip.compress(part) for part in parts]):
        got = read(b"".join(packed))
        assert [body for _, body in got] == [body for body in bodies for _ in range(3)]
        kinds = [WarcRecordType.response, WarcRecordType.conversion, WarcRecordType.resource]
        assert [one.record_type for one, _ in got] == kinds * len(bodies)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_record_s_place_is_where_its_bytes_begin_in_the_file(pack: type[bytes]) -> None:
    parts = [pack(record("response", PAGE + bytes([65 + n]) * n)) for n in range(5)]
    places = [one.stream_pos for one, _ in read(b"".join(parts))]
    assert places == [sum(map(len, parts[:n])) for n in range(5)]


def test_headers_are_found_in_any_case_and_http_s_keep_order_and_repetitions() -> None:
    [(one, body)] = read(record("response", PAGE + gzip.compress(b"body")))
    assert gzip.decompress(body) == b"body"  # codings are ours to undo
    assert one.headers.get("WARC-Date") == one.headers.get("warc-DATE") == "2026-01-01T00:00:00Z"
    assert one.headers.get("WARC-Target-URI") == "<https://a.example/ü?b=%20>"
    assert one.headers.get(POSITION) == "page%0A1"
    assert one.headers.get("WARC-Profile") is None
    assert one.http_headers is not None
    assert one.http_headers.status_code == 404
    assert list(one.http_headers) == [
        ("X-A", "one"),
        ("x-a", "t\xfcwo"),
        ("Content-Encoding", "gzip"),
    ]
    [(other, _)] = read(record("conversion", b"text", "text/plain; charset=utf-8"))
    assert other.http_headers is None
    assert other.headers.get("Content-Type") == "text/plain; charset=utf-8"


def test_lz4_frames_are_read_one_behind_the_other() -> None:
    packed = b"".join(pa.compress(bytes([65 + n]) * 70_000, "lz4", asbytes=True) for n in range(3))
    reader = Lz4Reader(io.BytesIO(packed), fsspec_args=False)
    got = b""
    while piece := reader.read(1 << 12):
        got += piece
    assert got == b"".join(bytes([65 + n]) * 70_000 for n in range(3))


def minimal(html: str, **options: bool) -> str:
    kinds = {"main_content": False, "links": False, "alt_texts": False, **options}
    return str(
        extract_plain_text(HTMLTree.parse(html), preserve_formatting="minimal_html", **kinds)
    )


def test_resiliparse_marks_paragraphs_headings_items_code_breaks_and_cells() -> None:
    html = (
        "<h2>A  title</h2><p>One &amp;\ntwo<br>three</p><ul><li>first<li>second</ul>"
        "<pre>if a &lt; b:\n    c\n</pre><table><tr><td>1<td>2<tr><td>3<td>4</table>"
        '<p>An <a href="/x">anchor</a>.</p>'
    )
    text = minimal(html, links=True)
    for piece in (
        "<h2>A title</h2>",
        "<p>One &amp; two<br>\nthree</p>",
        "<ul>\n  <li>first</li>\n  <li>second</li>\n</ul>",
        "<pre>if a &lt; b:\n    c\n</pre>",
        "1\t\t2\n3\t\t4\n",
        '<p>An <a href="/x">anchor</a>.</p>',
    ):
        assert piece in text, (piece, text)
    assert "<a " not in minimal(html)


def test_resiliparse_leaves_out_navigation_scripts_and_comments() -> None:
    sentence = "A sentence that is long enough to be taken for a part of an article, with commas. "
    html = (
        "<body><nav><a href=/>home</a><a href=/b>others</a></nav><script>var a = 1</script>"
        f"<main><p>{sentence * 3}</p><!-- said --><p>{sentence * 2}</p></main>"
        "<footer>All rights reserved</footer></body>"
    )
    text = minimal(html, main_content=True)
    assert text.count(sentence.strip()) == 5
    assert all(piece not in text for piece in ("home", "var a", "said", "reserved"))


@pytest.mark.parametrize(
    "html", ["", " ", "<", "<p", "</p>", "<!-- ", "a\0b", "<table><p>x", "&#0;&#xD800;"]
)
def test_resiliparse_answers_for_every_text(html: str) -> None:
    assert isinstance(minimal(html), str)
    assert isinstance(minimal(html, main_content=True), str)
