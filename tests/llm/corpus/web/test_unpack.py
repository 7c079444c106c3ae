"""Packed bodies, and what servers call so."""

import gzip
import zlib

import pytest

from llm.corpus.web.unpack import FetchFailed, Unpacked

TEXT = b"<p>text</p>" * 50


def unpack(encoding: str, body: bytes, step: int = 7, limit: int = 10_000) -> bytes:
    unpacked = Unpacked(encoding, limit, whole=False)
    for start in range(0, len(body), step):
        unpacked.feed(body[start : start + step])
        if unpacked.full:
            return bytes(unpacked.data)
    unpacked.finish()
    return bytes(unpacked.data)


@pytest.mark.parametrize(
    "encoding", ["none", "utf-8", "8bit", "", "identity", "UTF-8, binary", ","]
)
def test_what_names_no_coding_is_passed_over(encoding: str) -> None:
    assert unpack(encoding, TEXT) == TEXT
    assert unpack(encoding, b"x") == b"x"


@pytest.mark.parametrize(
    "encoding", ["gzip", "x-gzip", "GZIP", "gzip, gzip", "gzip, utf-8", '"gzip"']
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_is_packed_once_is_unpacked_once(encoding: str, step: int) -> None:
    assert unpack(encoding, gzip.compress(TEXT), step) == TEXT
    assert unpack(encoding, gzip.compress(TEXT) + b"\r\n", step) == TEXT


def test_codings_are_undone_from_the_last_on() -> None:
    assert unpack("gzip, gzip", gzip.compress(gzip.compress(TEXT))) == TEXT
    assert unpack("deflate, gzip", gzip.compress(zlib.compress(TEXT))) == TEXT
    assert unpack("deflate", zlib.compress(TEXT)[2:-4]) == TEXT
    assert unpack("gzip, gzip", gzip.compress(b"x")) == b"x"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br"])
def test_a_coding_that_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(FetchFailed, match="bad_answer"):
        Unpacked(encoding, 100)


def test_no_more_is_unpacked_than_wanted() -> None:
    packed = gzip.compress(gzip.compress(b"\x00" * 10_000_000))
    assert unpack("gzip, gzip", packed, step=10**6, limit=1000) == b"\x00" * 1000
    unpacked = Unpacked("gzip", 1000)
    with pytest.raises(FetchFailed, match="too_large"):
        unpacked.feed(gzip.compress(b"x" * 2000))
