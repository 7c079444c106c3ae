"""Bodies of answers, unpacked as they come in and never further than wanted."""

import zlib
from typing import Protocol

_GZIP = b"\x1f\x8b"  # what each member of a gzip file begins with

# Codings that nobody asked for and that cannot be undone within bounds (IANA's registry of codings).
_OTHERS = {
    "aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd",
}  # fmt: skip


class FetchFailed(Exception):
    """No answer that is worth keeping.

    reason: a word, then after a colon the details. unreachable: another time may be better.
    status: what the server answered, 0 where it is not the answer that failed.
    asked: how long the server wants to be left alone, where that is longer than anybody waits (seconds).
    """

    def __init__(
        self, reason: str, unreachable: bool, status: int = 0, asked: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unreachable = unreachable
        self.status = status
        self.asked = asked


def too_large(limit: int) -> FetchFailed:
    """The failure of a body over the limit (bytes)."""
    return FetchFailed(f"too_large: over {limit} bytes", unreachable=False)


class _Stage(Protocol):
    """One coding: takes pieces, gives at most `room` bytes for each, and the rest with the next."""

    def feed(self, chunk: bytes, room: int) -> bytes: ...

    def finish(self) -> bytes: ...


class Unpacked:
    """A body as it comes in, decompressed up to `limit` bytes and never further, bomb or not."""

    def __init__(self, encoding: str, limit: int, whole: bool = True) -> None:
        """encoding: Content-Encoding, of all its lines; what names no coding does not count.

        whole: what is larger is an error; else it is cut off and `full` says so.
        Raises FetchFailed for a coding that was not asked for.
        """
        self.limit = limit
        self.whole = whole
        self.full = False
        self.data = bytearray()
        self.stages: list[_Stage] = []
        names = [name.partition(";")[0].strip(" \t\"'").lower() for name in encoding.split(",")]
        for name in reversed(names):
            if name in _OTHERS:
                raise FetchFailed(f"bad_answer: encoding {name}", unreachable=False)
            if name == "deflate":
                self.stages.append(_Packed(deflate=True))
            elif name in ("gzip", "x-gzip") and not self.stages:
                self.stages.append(_Packed())
            elif name not in ("", "identity"):
                # Named twice for what was packed once, or no name of a coding at all.
                self.stages.append(_Perhaps())

    def feed(self, chunk: bytes) -> None:
        """Take a piece. Raises FetchFailed beyond the limit, zlib.error for what is not packed."""
        self._through(chunk, 0)

    def finish(self) -> None:
        """The body has ended. Raises FetchFailed where what was packed goes on."""
        for place, stage in enumerate(self.stages, start=1):
            rest = stage.finish()
            if rest:
                self._through(rest, place)

    def _through(self, chunk: bytes, first: int) -> None:
        """Send a piece through the stages from `first` on."""
        room = self.limit + 1 - len(self.data)
        for stage in self.stages[first:]:
            chunk = stage.feed(chunk, room)
            # Packed once more it is too large already, and a stage forgets what was over.
            self.full = self.full or len(chunk) >= room
        self.data += chunk
        if self.full or len(self.data) > self.limit:
            if self.whole:
                raise too_large(self.limit)
            del self.data[self.limit :]
            self.full = True


class _Packed:
    """gzip or zlib, as the body begins."""

    def __init__(self, deflate: bool = False) -> None:
        self.deflate = deflate
        self.rest = b""
        self.begun = False
        self.unpacker = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes, room: int) -> bytes:
        """Unpack a piece, one member of a gzip file after another (RFC 1952, 2.2)."""
        data = bytearray()
        chunk, self.rest = self.rest + chunk, b""
        while chunk and len(data) < room:
            if self.unpacker.eof:
                if len(chunk) < len(_GZIP) and _GZIP.startswith(chunk):
                    self.rest = chunk
                    break
                if not chunk.startswith(_GZIP):
                    break  # padding, which everybody passes over
                self.unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            try:
                data += self.unpacker.decompress(chunk, room - len(data))
            except zlib.error:
                if not self.deflate or self.begun:
                    raise
                # Some servers take "deflate" to mean the bare format, without zlib's header.
                self.unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                data += self.unpacker.decompress(chunk, room - len(data))
            self.begun = True
            chunk = self.unpacker.unused_data
        return bytes(data)

    def finish(self) -> bytes:
        if self.begun and not self.unpacker.eof:
            raise FetchFailed("truncated: the packed body breaks off", unreachable=True)
        return b""


class _Perhaps:
    """What may be packed, and is where it begins as a gzip file does: no text begins so."""

    def __init__(self) -> None:
        self.start = b""
        self.packed: _Packed | None = None
        self.decided = False

    def feed(self, chunk: bytes, room: int) -> bytes:
        if not self.decided:
            chunk = self.start + chunk
            if len(chunk) < len(_GZIP):
                self.start = chunk
                return b""
            self.decided, self.start = True, b""
            self.packed = _Packed() if chunk.startswith(_GZIP) else None
        return chunk if self.packed is None else self.packed.feed(chunk, room)

    def finish(self) -> bytes:
        return self.start if self.packed is None else self.packed.finish()
