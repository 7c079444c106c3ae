"""Records of WARC files (ISO 28500) and of ARC files, their predecessors, and where each begins.

Lines may end in CRLF or LF, as in files that went through a text tool. After damage, reading goes
on at the next place that looks like a record.
"""

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from llm.corpus.archive.members import Members, Place, is_packed
from llm.corpus.archive.packed import BROKEN

_LENGTH = re.compile(r"[0-9]{1,18}")
_VERSION = re.compile(rb"WARC/[01]\.\d+[ \t]*\r?\n")
# An ARC record (versions 1 and 2) begins with a line of address, IP address, date, type, in version 2
# some more, and length. https://archive.org/web/researcher/ArcFileFormat.php
_ARC = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.-]*:[^\r\n]*) [^\s]+ (\d{8,14}) ([^\r\n]+) (\d{1,18})[ \t]*\r?\n"
)
# Where a record may begin: a header in a plain file, a member in a packed one.
_PLAIN = re.compile(rb"(?:(?<=\n)|\A)WARC/[01]\.\d+\r?\n[A-Za-z]")
_PACKED = re.compile(rb"\x1f\x8b\x08|\x04\x22\x4d\x18|\x28\xb5\x2f\xfd")

# Bytes that are searched at a time, and more than any of the patterns is long.
_WINDOW = 1 << 20
_LONGEST = 64
# No record's header is longer (bytes).
_LONGEST_HEADER = 1 << 20
_LINE = 1 << 16

# Records that claim what is not theirs are searched for others; this many bytes are read again.
_AGAIN_BYTES = 1 << 30


@dataclass(frozen=True)
class Damage:
    """Where in the file something is that cannot be read as a record, and why."""

    place: Place
    reason: str


@dataclass
class Record:
    """One record. headers: in lower case. length: of its block, as the header says (bytes).

    doubted: to be set where the block turns out to be another than the header says; what the
    record covers is then searched for others.
    """

    place: Place
    headers: dict[str, str]
    length: int
    source: "_Source" = field(repr=False)
    doubted: bool = False
    read: bool = False

    def block(self) -> bytes:
        """The block; shorter than `length` where `damage` says why. To be read once."""
        self.read = True
        return self.source.take(self.length)

    @property
    def arc(self) -> bool:
        """Whether the record is from an ARC file."""
        return self.source.pattern is _ARC

    @property
    def damage(self) -> str:
        """What is wrong with a block that was read and came out too short."""
        said = " ".join(str(self.source.broken or "").split())
        return f"damaged: {said}" if said else "truncated"


@dataclass
class _State:
    """sound: damage is told once, not for each place that turns out to be no record."""

    arc: bool
    again: int
    sound: bool = True
    empty: bool = True
    midline: bool = False


def read_records(stream: BinaryIO) -> Iterator[Record | Damage]:
    """The records of a WARC or ARC file, plain or packed (gzip, zstd, lz4).

    ARC records have the headers that a WARC record would have. Blocks are skipped unless read.
    Damage is told once until the next good record. Raises nothing for what is in the file.
    """
    arc = _is_arc(stream)
    packed = is_packed(stream) or (not arc and _find(stream, _PLAIN, 0) is None)
    state = _State(arc, _AGAIN_BYTES)
    start: Place | None = Place(0)
    while start is not None:
        start = yield from _from(stream, start, packed, state)
    if state.empty and state.sound:
        yield Damage(Place(0), "damaged: there is no record in the file")


def _from(
    stream: BinaryIO, start: Place, packed: bool, state: _State
) -> Generator[Record | Damage, None, Place | None]:
    """The records from a place on. Returns where to go on reading; None: nowhere."""
    source = _Source(stream, start, packed, state.arc)
    source.midline, state.midline = state.midline, False
    place = start
    try:
        source.skip(start.inner)
        while (passed := source.find_header()) is not None:
            place = source.place()
            if passed and state.sound:
                state.sound = False
                yield Damage(place, f"damaged: the {passed} bytes before are not a record")
            headers = source.header()
            said = headers.get("content-length", "")
            if not _LENGTH.fullmatch(said):
                if state.sound:
                    yield Damage(place, f"damaged: the record has no length but {said!r}")
                state.sound = False
                continue
            record = Record(place, headers, int(said), source)
            end = source.position + record.length
            yield record
            state.empty = False
            cut = not source.broken and not source.skip(end - source.position)
            if source.broken:
                state.sound = state.sound and not record.doubted
                raise source.broken
            cut = cut and not (state.arc and not record.doubted and record.read)
            if cut and not record.doubted:
                there = record.length - (end - source.position)
                yield Damage(place, f"truncated: {there} bytes of {record.length}")
            state.sound = not cut and not record.doubted
            if not state.sound and not source.at_border:
                # Others may lie inside of what the record claims.
                state.again -= record.length - (end - source.position) + place.inner
                if state.again > 0:
                    state.midline = True
                    return place._replace(inner=place.inner + 1) if packed else Place(place[0] + 1)
        if source.rest and state.sound:
            state.sound = False
            yield Damage(place, f"damaged: the last {source.rest} bytes are not a record")
        return None
    except BROKEN as error:
        if source.members is not None:
            # Inside of a damaged member nothing can be found.
            place = Place(max(place.member, source.members.failed))
        if state.sound:
            state.sound = False
            yield Damage(place, f"damaged: {' '.join(str(error).split())}")
        found = _find(stream, _PACKED if packed else _PLAIN, place.member + 1)
        return None if found is None else Place(found)


class _Source:
    """The bytes of a file from a place on, unpacked. position: of the next, in what is unpacked."""

    def __init__(self, stream: BinaryIO, start: Place, packed: bool, arc: bool) -> None:
        self.members = Members(stream, start.member) if packed else None
        self.stream: Any = stream
        self.position = 0
        if self.members is not None:
            self.stream = io.BufferedReader(self.members, 1 << 16)
        else:
            self.position = stream.seek(start.member)
        self.pattern = _ARC if arc else _VERSION
        self.line = b""
        self.midline = False
        self.at_border = False
        self.broken: BaseException | None = None
        self.rest = 0
        self._found = 0

    def place(self) -> Place:
        """Where the header that was found last begins."""
        return self.members.place(self._found) if self.members else Place(self._found)

    def find_header(self) -> int | None:
        """Go to the next line that a record begins with. Returns bytes passed over; None: the end.

        Blank lines between records, and zeros that fill up, do not count.
        """
        self.at_border = False
        passed, whole = 0, not self.midline
        self.midline = False
        while line := self.stream.readline(_LINE):
            text = line.lstrip(b"\0\r\n\t ") if whole else line
            self._found = self.position + len(line) - len(text)
            self.position += len(line)
            if whole and self.pattern.fullmatch(text):
                self.line = text
                return passed
            passed += len(text)
            whole = line.endswith(b"\n")
        self.rest = passed
        return None

    def header(self) -> dict[str, str]:
        """The fields of the header whose first line was read, their names in lower case.

        Of a field that comes twice, the last counts. Raises OSError for a header without an end.
        """
        if self.pattern is _ARC:
            return _arc_fields(self.line)
        lines, size = list[bytes](), 0
        while line := self.stream.readline(_LINE):
            self.position += len(line)
            size += len(line)
            if size > _LONGEST_HEADER:
                raise OSError(f"the header is longer than {_LONGEST_HEADER} bytes")
            if line in (b"\r\n", b"\n") or not line.strip(b"\r\n"):
                return _fields(lines)
            lines.append(line)
        raise OSError("the file ends inside a header")

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer where the file ends or another record's member begins."""
        if self.members is None:
            data: bytes = self.stream.read(size)
            self.position += len(data)
            return data
        return b"".join(self._pieces(size))

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes; False: there are fewer."""
        if size <= 0:
            return True
        if self.at_border:
            return False
        before = self.position
        if self.members is not None:
            for _ in self._pieces(size):
                pass
            return self.position == before + size
        end = self.position + size
        if self.stream.seek(end - 1) == end - 1 and self.stream.read(1):
            self.position = end
            return True
        self.position = self.stream.seek(0, io.SEEK_END)
        return False

    def _pieces(self, size: int) -> Iterator[bytes]:
        assert self.members is not None
        start = self.position
        while size:
            try:
                ahead = self.stream.peek(1)
                inside = self.position > start and self.members.begins(self.position)
                if inside and self.pattern.match(ahead):
                    self.at_border = True
                    return
                data = self.stream.read1(min(size, 1 << 16))
            except BROKEN as error:
                # A cut file ends here; what is damaged ends the member.
                self.broken = None if isinstance(error, EOFError) else error
                return
            if not data:
                return
            self.position += len(data)
            size -= len(data)
            yield data


def _is_arc(stream: BinaryIO) -> bool:
    """ARC files start with a record that describes the file."""
    packed = is_packed(stream)
    stream.seek(0)
    try:
        start: Any = io.BufferedReader(Members(stream)) if packed else stream
        return bool(start.read(9) == b"filedesc:")
    except BROKEN:
        return False


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.decode("utf-8", "replace")
        if text[0] in " \t" and name:
            fields[name] += " " + text.strip()
        elif ":" in text:
            name, _, value = text.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _arc_fields(line: bytes) -> dict[str, str]:
    match = _ARC.fullmatch(line)
    assert match is not None
    url, date, rest, length = (part.decode("utf-8", "replace") for part in match.groups())
    date = date.ljust(14, "0")
    return {
        "warc-type": "warcinfo" if url.startswith("filedesc:") else "response",
        "warc-target-uri": url,
        "warc-date": f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:14]}Z",
        "content-type": rest.split()[0],
        "content-length": length,
    }


def _find(stream: BinaryIO, pattern: re.Pattern[bytes], start: int) -> int | None:
    """Where `pattern` is found at or after `start`; None: nowhere. Holds a window, not the file."""
    while True:
        # One byte before, for what must follow a line's end.
        before = min(start, 1)
        stream.seek(start - before)
        window = stream.read(_WINDOW)
        match = pattern.search(window, before)
        if match:
            return start - before + match.start()
        if len(window) < _WINDOW:
            return None
        start += len(window) - before - _LONGEST
