"""Bodies of HTTP responses as the pages they carry: transfer and content codings undone (RFC 9112, 9110).

Archives often hold a body decoded already, under the headers of how it was sent.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastwarc.stream_io import BrotliReader, GzipReader, ZstdReader

from llm.corpus.archive.packed import is_damage

# The head of a chunk, with the end of the one before.
_CHUNK = re.compile(rb"(?:\r?\n)?([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
# Bytes that no text in an encoding of the web's has, but what is packed does.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_READERS: Mapping[str, Callable[[io.BytesIO], Any]] = {
    "gzip": lambda raw: GzipReader(raw, fsspec_args=False),
    "deflate": lambda raw: GzipReader(raw, zlib=True, fsspec_args=False),
    "br": lambda raw: BrotliReader(raw, fsspec_args=False),
    "zstd": lambda raw: ZstdReader(raw, fsspec_args=False),
}


def decoded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """A body without the codings that its headers name, as far as `limit` bytes.

    What is text already stays as it is, whatever the headers say; a body that was cut gives what
    is there. Raises OSError, ValueError or EOFError for one that is damaged.
    """
    for coding in _codings(headers, "transfer-encoding"):
        if coding == "chunked":
            body = _unchunked(body)
        else:
            body = _unpacked(body, coding, limit)
    for coding in _codings(headers, "content-encoding"):
        body = _unpacked(body, coding, limit)
    return body[:limit]


def _codings(headers: Mapping[str, str], header: str) -> Iterator[str]:
    """The codings that a header names, the one that was applied last first."""
    said = ",".join(value for name, value in headers.items() if name.lower() == header)
    for coding in reversed(said.lower().split(",")):
        yield coding.strip().removeprefix("x-")


def _unchunked(body: bytes) -> bytes:
    pieces, place = list[bytes](), 0
    while match := _CHUNK.match(body, place):
        size = int(match[1], 16)
        if not size:
            return b"".join(pieces)
        place = match.end() + size
        pieces.append(body[match.end() : place])
    if not pieces:
        return body
    if body[place:].strip():
        raise ValueError(f"no chunk begins at byte {place} of the body")
    return b"".join(pieces)


def _unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """A body unpacked, or as it is where it is text or the coding is none that packs."""
    if coding not in _READERS or not body:
        return body
    try:
        return _read(_READERS[coding](io.BytesIO(body)), limit)
    except BaseException as error:
        if not is_damage(error):
            raise
        if coding == "deflate":
            # Some servers send what zlib packs without its header, as browsers have learnt to read.
            try:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, limit)
            except zlib.error:
                pass
        if _NO_TEXT.search(body[:1024]):
            raise
        return body


def _read(reader: Any, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (piece := reader.read(min(1 << 20, limit - len(data)))):
        data += piece
    return bytes(data)
