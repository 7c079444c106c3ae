"""Packed files as streams that no bomb gets out of: gzip, bzip2, xz, zstd, lz4, by their ending."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from fastwarc.stream_io import Lz4Reader

LIBRARIES = ("fastwarc", "zstandard")

# Beyond this many bytes, a file that became more than this many times larger is not text: the most
# repetitive logs reach some hundred.
FREE_BYTES = 1 << 30
MAX_RATIO = 1000

# What an xz file may make its reader hold (bytes); `xz -9` takes 65 MB.
_XZ_MEMORY = 1 << 30


# What is given to zstd at once (bytes): as it may become 16,000 times as much, that is held.
_ZST_PIECE = 256

# What reading a damaged file raises.
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def is_damage(error: BaseException) -> bool:
    """Whether a library says that the data is at fault. On some fastwarc panics: no Exception, by Rust's rule."""
    return isinstance(error, (ValueError, *BROKEN)) or (type(error).__name__ == "PanicException")


class Bomb(OSError):
    """A packed file that is larger unpacked than any text could be."""


def unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """The content of a file, packed as its name says.

    Reading raises Bomb, or for damage one of BROKEN.
    """
    ending = Path(name.lower()).suffix
    if ending == ".gz":
        stream: Any = gzip.GzipFile(fileobj=raw)
    elif ending == ".xz":
        stream = _Xz(raw)
    elif ending == ".bz2":
        stream = bz2.BZ2File(raw)
    elif ending == ".zst":
        stream = _Zst(raw)
    elif ending == ".lz4":
        stream = _Lz4(raw)
    else:
        return raw
    return io.BufferedReader(_Guarded(stream, raw), 1 << 20)


def lines(raw: BinaryIO, name: str, limit: int) -> Iterator[bytes | None]:
    """The lines of a file, packed or not; None stands for one of over `limit` bytes."""
    stream = unpacked(raw, name)
    while line := stream.readline(limit + 1):
        if len(line) > limit and not line.endswith(b"\n"):
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield line


class _Guarded(io.RawIOBase):
    """A stream that counts what comes out against what went in."""

    def __init__(self, stream: Any, packed: BinaryIO) -> None:
        self.stream = stream
        self.packed = packed
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # As much as comes at once: what stands before damage is not lost with it.
        data = self.stream.read1(len(buffer))
        buffer[: len(data)] = data
        self.bytes += len(data)
        if self.bytes > FREE_BYTES and self.bytes > MAX_RATIO * self.packed.tell():
            raise Bomb(
                f"bomb: {self.bytes} bytes came out of {self.packed.tell()}: unpack it yourself"
            )
        return len(data)


class _Lz4:
    """An lz4 file in pieces so small that little of what stands before damage is lost with it."""

    def __init__(self, raw: BinaryIO) -> None:
        self.reader = Lz4Reader(raw, fsspec_args=False)

    def read1(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        try:
            return self.reader.read(min(size, 1 << 12))
        except BaseException as error:
            if isinstance(error, Exception) or not is_damage(error):
                raise
            raise OSError(f"no lz4: {error}") from error


class _Zst:
    """A zstd file whose end is looked at: the library's own reader takes a cut one for whole."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.unpacker: Any = None
        self.ready = memoryview(b"")

    def read1(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        while not self.ready:
            # What stands behind a frame is another one.
            rest = self.unpacker.unused_data if self.unpacker and self.unpacker.eof else b""
            piece = rest or self.raw.read(_ZST_PIECE)
            if self.unpacker is None or self.unpacker.eof:
                if not piece:
                    return b""
                self.unpacker = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
            elif not piece:
                raise EOFError("the file ends before its end mark")
            self.ready = memoryview(self.unpacker.decompress(piece))
        data, self.ready = self.ready[:size], self.ready[size:]
        return bytes(data)


class _Xz:
    """An xz file, read within a limit of memory, which the standard library's file class lacks."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.unpacker = self._new()
        self.waiting = b""

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read1(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        while True:
            if self.unpacker.eof:
                # Several streams may follow each other, with zeros between them.
                rest = (self.unpacker.unused_data or self.raw.read(1 << 16)).lstrip(b"\0")
                if not rest:
                    return b""
                self.unpacker, self.waiting = self._new(), rest
            if self.unpacker.needs_input and not self.waiting:
                self.waiting = self.raw.read(1 << 16)
                if not self.waiting:
                    raise EOFError("the file ends before its end mark")
            data = self.unpacker.decompress(self.waiting, size)
            self.waiting = b""
            if data:
                return data
