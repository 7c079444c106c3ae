"""Packed archives as the members that they consist of: gzip members, zstd and lz4 frames.

A record's place in a packed file is the byte where its member begins and, where several records
share a member, the byte of what the member unpacks to.
"""

import io
import zlib
from bisect import bisect_right
from typing import Any, BinaryIO, NamedTuple, cast

import zstandard
from fastwarc.stream_io import Lz4Reader

from llm.corpus.archive import packed
from llm.corpus.archive.packed import Bomb, is_damage

LIBRARIES = ("fastwarc", "zstandard")

# Before the records of a zstd file may stand the dictionary that they are packed with.
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_GZIP, _LZ4, _ZSTD = b"\x1f\x8b", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"
_MAGIC = (_GZIP, _LZ4, _ZSTD, _DICTIONARY)
# Larger dictionaries are refused (bytes).
_LARGEST_DICTIONARY = 1 << 26

# Packed bytes that are read, and given to zlib, at a time. Where they turn out to be damaged, they are
# given to it again in small pieces: damage costs what one of these unpacks to.
_READ = 1 << 16
_GIVEN = 1 << 14
_PIECE = 1 << 8
_LZ4_PIECE = 1 << 12  # unpacked
# As zstd may make 16,000 times as much of what it is given, that is little (bytes).
_ZSTD_PIECE = 256
# Unpacked bytes that come at a time, at most.
_OUT = 1 << 16


class Place(NamedTuple):
    """Where something begins: the byte of its member (or of a plain file), and inside of that."""

    member: int
    inner: int = 0

    def __str__(self) -> str:
        return f"{self.member}+{self.inner}" if self.inner else str(self.member)


def is_packed(stream: BinaryIO) -> bool:
    """Whether a file begins as packed archives do."""
    stream.seek(0)
    return stream.read(4).startswith(_MAGIC)


class Members(io.RawIOBase):
    """What a packed file unpacks to from the member at `start` on.

    Reading raises OSError for damage and for what is not a member, EOFError for a member that is cut;
    what comes before the damage is given first.
    """

    def __init__(self, stream: BinaryIO, start: int = 0) -> None:
        self.stream = stream
        self.dictionary = _dictionary(stream)
        self.stream.seek(start)
        self.read_to = start
        self.waiting = b""
        self.unpacker: Any = None
        self.zlib = False
        self.given = _GIVEN  # packed bytes that zlib gets at a time
        self.frame: _Lz4Frame | None = None
        self.ready = memoryview(b"")
        self.out = 0
        self.starts: list[int] = []  # in what comes out, and in the file
        self.offsets: list[int] = []
        self.failed = -1  # where the member begins that could not be read

    def place(self, position: int) -> Place:
        """Where the byte at `position` of what comes out is. Members before it are forgotten."""
        at = max(0, bisect_right(self.starts, position) - 1)
        del self.starts[:at], self.offsets[:at]
        return Place(self.offsets[0], position - self.starts[0])

    def begins(self, position: int) -> bool:
        """Whether a member begins at `position` of what comes out."""
        at = bisect_right(self.starts, position) - 1
        return at >= 0 and self.starts[at] == position

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.out

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            if self.unpacker is None and not self._begin():
                return 0
            self.ready = memoryview(self._step(min(len(buffer), _OUT)))
        data, self.ready = self.ready[: len(buffer)], self.ready[len(buffer) :]
        buffer[: len(data)] = data
        self.out += len(data)
        if self.out > packed.FREE_BYTES and self.out > packed.MAX_RATIO * self.read_to:
            raise Bomb(f"bomb: {self.out} bytes came out of {self.read_to}")
        return len(data)

    def _fill(self, size: int) -> bool:
        """Whether `size` packed bytes are waiting, or could be had."""
        while len(self.waiting) < size:
            more = self.stream.read(_READ)
            if not more:
                return False
            self.read_to += len(more)
            self.waiting += more
        return True

    def _begin(self) -> bool:
        """Begin the next member; False: there is none."""
        while True:
            self._fill(8)
            head = self.waiting[:8]
            if head[:1] == b"\0":
                # Writers fill up with zeros.
                self.waiting = self.waiting.lstrip(b"\0")
            elif head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
                self._skip(8 + int.from_bytes(head[4:], "little"))
            else:
                break
        if not head:
            return False
        offset = self.read_to - len(self.waiting)
        if head.startswith(_GZIP):
            self.zlib, self.given = True, _GIVEN
            self.unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif head.startswith(_ZSTD):
            self.zlib = False
            self.unpacker = zstandard.ZstdDecompressor(
                dict_data=self.dictionary, max_window_size=2**31
            ).decompressobj()
        elif head.startswith(_LZ4):
            self.frame = _Lz4Frame(self)
            self.unpacker = Lz4Reader(cast(BinaryIO, self.frame), fsspec_args=False)
        else:
            self.failed = offset
            raise OSError(f"at byte {offset} begins no packed member")
        self.starts.append(self.out)
        self.offsets.append(offset)
        return True

    def _skip(self, size: int) -> None:
        while size and self._fill(1):
            taken = min(size, len(self.waiting))
            self.waiting = self.waiting[taken:]
            size -= taken

    def _step(self, size: int) -> bytes:
        """Something of the member; b"" where there is only a next step, or the member's end."""
        try:
            return self._lz4(size) if self.frame is not None else self._gzip_or_zstd(size)
        except BaseException as error:
            self.unpacker = self.frame = None
            self.failed = self.offsets[-1]
            if not is_damage(error) or isinstance(error, EOFError):
                raise
            raise OSError(" ".join(str(error).split())) from error

    def _lz4(self, size: int) -> bytes:
        assert self.frame is not None
        data: bytes = self.unpacker.read(min(size, _LZ4_PIECE))
        if not data:
            while self.frame.read(_READ):
                pass
            self.unpacker = self.frame = None
        return data

    def _gzip_or_zstd(self, size: int) -> bytes:
        unpacker = self.unpacker
        if not self._fill(1):
            raise EOFError("the file ends inside a packed member")
        if self.zlib:
            piece = self.waiting[: self.given]
            before = unpacker.copy() if self.given > _PIECE else None
            try:
                data: bytes = unpacker.decompress(piece, size)
            except zlib.error:
                if before is None:
                    raise
                self.unpacker, self.given = before, _PIECE
                return b""
            left = len(unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail)
        else:
            piece = self.waiting[:_ZSTD_PIECE]
            data = unpacker.decompress(piece)
            left = len(unpacker.unused_data) if unpacker.eof else 0
        self.waiting = self.waiting[len(piece) - left :]
        if unpacker.eof:
            self.unpacker = None
        return data


class _Lz4Frame:
    """One lz4 frame of a file (format 1.6.2), as a stream that ends where the frame does."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self.left = 0  # of what is being given out
        self.state = "header"
        self.block_sums = self.content_sum = False

    def tell(self) -> int:
        """The start: fastwarc asks once, before it reads."""
        return 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end of the frame or of the file."""
        if not self.left and not self._next():
            return b""
        self.members._fill(1)
        data = self.members.waiting[: min(size, self.left)]
        self.members.waiting = self.members.waiting[len(data) :]
        self.left -= len(data)
        return data

    def _next(self) -> bool:
        """Measure the next part of the frame: its header, a block, its end."""
        if self.state == "header":
            self.members._fill(5)
            flags = self.members.waiting[4] if len(self.members.waiting) > 4 else 0
            self.block_sums, self.content_sum = bool(flags & 16), bool(flags & 4)
            self.left = 7 + 8 * bool(flags & 8) + 4 * bool(flags & 1)
            self.state = "blocks"
        elif self.state == "blocks":
            self.members._fill(4)
            size = int.from_bytes(self.members.waiting[:4], "little")
            if size:
                self.left = 4 + (size & 0x7FFFFFFF) + 4 * self.block_sums
            else:
                self.left = 4 + 4 * self.content_sum
                self.state = "end"
        return bool(self.left)


def _dictionary(stream: BinaryIO) -> Any:
    """The dictionary that a zstd file begins with; None: there is none."""
    stream.seek(0)
    head = stream.read(8)
    size = int.from_bytes(head[4:], "little")
    if not head.startswith(_DICTIONARY) or size > _LARGEST_DICTIONARY:
        return None
    data = stream.read(size)
    try:
        if data.startswith(_ZSTD):
            unpacker = zstandard.ZstdDecompressor()
            data = unpacker.decompress(data, max_output_size=_LARGEST_DICTIONARY)
        return zstandard.ZstdCompressionDict(data)
    except zstandard.ZstdError:
        return None
