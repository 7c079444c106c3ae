"""Bodies as they were sent, against what Python's own packers make; as they are, where headers lie."""

import gzip
import io
import zlib

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter

from llm.corpus.archive.transfer import decoded

BODY = b"<p>hello " + b"world " * 500 + b"</p>"


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


PACK = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", PACK)
def test_what_was_sent_packed_in_chunks_comes_out_and_what_is_text_already_stays(
    coding: str,
) -> None:
    said = {"content-encoding": coding, "Transfer-Encoding": "chunked"}
    packed = PACK[coding](BODY)
    for body in (chunked(packed), packed, chunked(BODY), BODY):
        assert decoded(body, said, 10_000) == BODY
    assert decoded(packed, said, 100) == BODY[:100]


def brotli(body: bytes) -> bytes:
    stream = io.BytesIO()
    writer = BrotliWriter(stream)
    writer.write(body)
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("tail", [b"\r\n", b"\0" * 20, b"\n", b"<!-- made by a cache -->"])
@pytest.mark.parametrize("coding", [*PACK, "br"])
def test_what_stands_behind_a_packed_body_does_not_count(coding: str, tail: bytes) -> None:
    packed = brotli(BODY) if coding == "br" else PACK[coding](BODY)
    said = {"content-encoding": coding}
    assert decoded(packed + tail, said, 10_000) == BODY
    assert decoded(chunked(packed + tail), {**said, "transfer-encoding": "chunked"}, 10_000) == BODY


@pytest.mark.parametrize("coding", ["gzip;q=1", '"gzip"', "utf-8", "none", "binary", "gzip, gzip"])
def test_a_coding_that_is_none_or_oddly_written_is_read_by_what_the_body_is(coding: str) -> None:
    said = {"content-encoding": coding}
    assert decoded(PACK["gzip"](BODY), said, 10_000) == BODY
    assert decoded(BODY, said, 10_000) == BODY


def test_members_in_a_row_are_one_body() -> None:
    for coding in ("gzip", "zstd"):
        data = PACK[coding](BODY[:100]) + PACK[coding](BODY[100:])
        assert decoded(data, {"content-encoding": coding}, 10_000) == BODY


def test_other_words_in_the_header_pack_nothing() -> None:
    for coding in ("identity", "utf-8", "none", ""):
        assert decoded(BODY, {"Content-Encoding": coding}, 10_000) == BODY


def test_a_cut_body_gives_what_is_there_and_a_damaged_one_an_error() -> None:
    assert decoded(chunked(BODY)[:-60], {"Transfer-Encoding": "chunked"}, 10_000) in BODY
    damaged = chunked(BODY).replace(b"64;a=b\r\n", b"zz\r\n", 3).replace(b"zz", b"64", 1)
    with pytest.raises(ValueError, match="no chunk begins at byte"):
        decoded(damaged, {"Transfer-Encoding": "chunked"}, 10_000)
    with pytest.raises(zlib.error):
        decoded(b"\x1f\x8b\x08" + bytes(range(200)), {"Content-Encoding": "gzip"}, 10_000)
