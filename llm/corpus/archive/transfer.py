"""Bodies of HTTP responses as the pages they carry: transfer and content codings undone (RFC 9112, 9110).

Archives often hold a body decoded already, under the headers of how it was sent.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping

import brotli
import zstandard

from llm.corpus.archive.packed import is_damage

LIBRARIES = ("brotli", "zstandard")

# The head of a chunk, with the end of the one before.
_CHUNK = re.compile(rb"(?:\r?\n)?([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
# Bytes that no text in an encoding of the web's has, but what is packed does.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_GZIP_MARK = b"\x1f\x8b"

# zstd may make 16,000 times as much of what it is given at once (bytes).
_ZSTD_PIECE = 256
_BROTLI_PIECE = 256


def decoded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """A body without the codings that its headers name, as far as `limit` bytes.

    What is text already stays as it is, whatever the headers say; a body that was cut gives what
    is there, and what stands behind a packed body does not count. Raises what `is_damage` knows for
    one that is damaged.
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
    for coding in reversed(re.split(r"[,\n]", said.lower())):
        yield coding.partition(";")[0].strip(" \t\"'").removeprefix("x-")


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
    """A body unpacked, or as it is where it is text or the coding is none that packs.

    Where no coding is named ("utf-8", "none"), a body that begins as a gzip file does is one, as for
    the crawler (`web.unpack`).
    """
    if coding not in ("", "identity", *_UNPACKERS) and body.startswith(_GZIP_MARK):
        coding = "gzip"
    if coding not in _UNPACKERS or not body:
        return body
    try:
        return _UNPACKERS[coding](body, limit)
    except BaseException as error:
        if not is_damage(error):
            raise
        if _NO_TEXT.search(body[:1024]):
            raise
        return body


def _gzip(body: bytes, limit: int) -> bytes:
    """Its members, one after the other; the first must be sound."""
    data = bytearray()
    while body.startswith(_GZIP_MARK) or not data:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            data += unpacker.decompress(body, limit - len(data))
        except zlib.error:
            if not data:
                raise
            break
        body = unpacker.unused_data
        if not body or len(data) >= limit:
            break
    return bytes(data)


def _deflate(body: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS).decompress(body, limit)
    except zlib.error:
        # Some servers send what zlib packs without its header, as browsers have learnt to read.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, limit)


def _zstd(body: bytes, limit: int) -> bytes:
    """Its frames, one after the other; the first must be sound."""
    data, unpacker, place = bytearray(), None, 0
    while place < len(body) and len(data) < limit:
        if unpacker is None or unpacker.eof:
            if unpacker is not None and not body.startswith(b"\x28\xb5\x2f\xfd", place):
                break
            # Larger windows are not for the web (RFC 8878, 3.1.1.1.2).
            unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        piece = body[place : place + _ZSTD_PIECE]
        data += unpacker.decompress(piece)
        place += len(piece) - (len(unpacker.unused_data) if unpacker.eof else 0)
    return bytes(data[:limit])


def _brotli(body: bytes, limit: int) -> bytes:
    """The library takes bytes behind the end for damage: then the end is looked for."""
    try:
        return _brotli_until(body, limit)
    except brotli.error as error:
        whole = 0
        unpacker = brotli.Decompressor()
        try:
            while whole < len(body):
                unpacker.process(body[whole : whole + _BROTLI_PIECE], output_buffer_limit=limit)
                whole += _BROTLI_PIECE
        except brotli.error:
            pass
        unpacker, data = brotli.Decompressor(), bytearray()
        for start, end in (
            (0, whole),
            *((at, at + 1) for at in range(whole, whole + _BROTLI_PIECE)),
        ):
            try:
                data += unpacker.process(body[start:end])
            except brotli.error:
                break
            if unpacker.is_finished():
                return bytes(data[:limit])
        raise OSError(str(error)) from error


def _brotli_until(body: bytes, limit: int) -> bytes:
    unpacker = brotli.Decompressor()
    data = bytearray(unpacker.process(body, output_buffer_limit=limit))
    while len(data) < limit and not unpacker.can_accept_more_data():
        data += unpacker.process(b"", output_buffer_limit=limit - len(data))
    return bytes(data[:limit])


_UNPACKERS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
