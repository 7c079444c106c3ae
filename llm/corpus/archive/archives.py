"""Reading other people's WARC and ARC files: good records out, a reason for each bad one.

A damaged record costs itself only: reading goes on at the next place that looks like a record.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as ArcIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from llm.corpus.archive.packed import BROKEN, is_damage, unpacked
from llm.corpus.archive.pages import Page
from llm.corpus.archive.transfer import decoded
from llm.corpus.web.crawler import TEXT_TYPES
from llm.corpus.web.urls import normalise

LIBRARIES = ("fastwarc", "warcio")

# Where a record may start: a header in a plain file, a member in a compressed one.
_PLAIN = re.compile(rb"(?:(?<=\n)|\A)WARC/[01]\.\d+\r?\n[A-Za-z]")
_PACKED = re.compile(rb"\x1f\x8b\x08|\x04\x22\x4d\x18|\x28\xb5\x2f\xfd")
_SHA1 = re.compile(r"sha1:[A-Z2-7]{32}")
# Before the records of a zstd file may stand the dictionary that they are packed with.
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_MAGIC = {
    b"\x1f\x8b": ".gz",
    b"\x04\x22\x4d\x18": ".lz4",
    b"\x28\xb5\x2f\xfd": ".zst",
    _DICTIONARY: ".zst",
}

_KINDS = (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion)
# Where resources that are pages come from. Under other schemes crawlers keep what is none: wget its
# log (metadata:), Browsertrix the texts of pages that are in the file already (urn:).
_PUBLISHED = ("http", "https", "ftp", "file")

# Bytes that are searched at a time, and more than any of the patterns is long.
_WINDOW = 1 << 20
_LONGEST = 64

# Records that claim what is not theirs are searched for others; so many bytes are read again.
_AGAIN_BYTES = 1 << 30
# Larger dictionaries are not kept to go on with after damage (bytes).
_LARGEST_DICTIONARY = 1 << 26
# What fastwarc reads ahead of the record that it gives (bytes).
_AHEAD = 1 << 16


@dataclass(frozen=True)
class Bad:
    """A record that gives no page: where in the file it starts (bytes), and why."""

    offset: int
    reason: str
    url: str = ""


def read_archive(path: Path, max_bytes: int) -> Iterator[Page | Bad]:
    """The pages of a WARC or ARC file (plain, gzip, zstd, lz4).

    Pages are responses with status 200 that are text, resources that are text, and conversion
    records. Other responses and resources, what is larger than `max_bytes` and what is damaged
    comes out as Bad. Never raises for what is
    in the file, only OSError when it cannot be opened.
    """
    with path.open("rb") as stream:
        yield from read_stream(stream, max_bytes, path.name)


def read_stream(
    stream: BinaryIO, max_bytes: int, name: str, start: int = 0
) -> Iterator[Page | Bad]:
    """The pages of an archive that is open: any stream that seeks, even one that is still coming.

    `name` and the byte where each record begins, counted from `start`, are the page's position:
    "crawl.warc.gz@5120"; in an ARC file that is packed with zstd or lz4, those of what it unpacks to.
    """
    if not stream.read(1):
        yield Bad(start, "damaged: the file is empty")
        return
    for item in (_read_arc if _is_arc(stream) else _read_warc)(stream, max_bytes):
        if isinstance(item, Bad):
            yield replace(item, offset=start + item.offset)
        else:
            yield replace(item, position=f"{name}@{start + int(item.position)}")


def _read_warc(stream: BinaryIO, max_bytes: int) -> Iterator[Page | Bad]:
    """Read from the start; after damage, from the next place where a record may start."""
    packed = bool(_packing(stream)) or _find(stream, _PLAIN, 0) is None
    marker = _PACKED if packed else _PLAIN
    dictionary = _dictionary(stream)
    start: int | None = 0
    sound = True  # damage is told once, not for each place that turns out to be no record
    again = _AGAIN_BYTES
    while start is not None:
        stream.seek(start)
        place, resume, damage = start, start + 1, ""
        found_any, swallowed = False, 0
        source: Any = stream
        ahead = 0
        if start and dictionary:
            source, ahead = _After(stream, dictionary), start - len(dictionary)
        try:
            for record in ArchiveIterator(source, parse_http=False, fsspec_args=False):
                place, found_any, sound, swallowed = record.stream_pos + ahead, True, True, 0
                # Where to look on if nothing follows: a plain record's claim is its own, unless
                # it is more than there is.
                end = place + max(0, record.content_length)
                whole = packed or _reaches(stream, end)
                resume = place + 1 if packed or not whole else max(place + 1, end)
                if not whole:
                    there = stream.seek(0, io.SEEK_END) - place
                    damage = f"truncated: {there} bytes of {record.content_length}"
                    break
                claimed = record.content_length
                page = _page(record, place, max_bytes)
                if isinstance(page, Bad):
                    # What follows may be read wrongly because of it: that is told already.
                    sound = not page.reason.startswith(("truncated", "digest", "bad_http"))
                    if page.reason.startswith(("truncated", "digest")):
                        read = stream.tell() - _AHEAD if packed else end
                        resume = place + 1 if again > 0 else max(place + 1, read)
                        swallowed = claimed
                if page is not None:
                    yield page
        except BaseException as error:
            if not is_damage(error):
                raise
            damage = f"damaged: {error}"
            if sound:
                resume = place + 1
        again -= swallowed
        match = _find(stream, marker, resume)
        if not found_any and not damage and match is None and start == 0:
            damage = "damaged: there is no record in the file"
        if damage and sound:
            yield Bad(place, damage)
            sound = False
        start = match


def _dictionary(stream: BinaryIO) -> bytes:
    """The frame with the dictionary that a zstd file begins with; b"": there is none."""
    stream.seek(0)
    head = stream.read(8)
    if not head.startswith(_DICTIONARY):
        return b""
    size = int.from_bytes(head[4:], "little")
    return head + stream.read(size) if size <= _LARGEST_DICTIONARY else b""


class _After:
    """The rest of a stream as if its dictionary stood right before it."""

    def __init__(self, stream: BinaryIO, dictionary: bytes) -> None:
        self.stream = stream
        self.waiting = dictionary

    def tell(self) -> int:
        """Nothing: only at a file's start does fastwarc look for a dictionary."""
        return 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        if not self.waiting:
            return self.stream.read(size)
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data


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


def _reaches(stream: BinaryIO, end: int) -> bool:
    """Whether the file has `end` bytes. The stream stays where it is."""
    here = stream.tell()
    try:
        return not end or (stream.seek(end - 1) >= 0 and len(stream.read(1)) == 1)
    finally:
        stream.seek(here)


def _page(record: WarcRecord, offset: int, max_bytes: int) -> Page | Bad | None:
    """A record as a page, or why it is none; None for kinds that hold no page."""
    if record.record_type not in _KINDS:
        return None
    url = _address(record.headers.get("WARC-Target-URI") or "")
    promised = record.content_length
    if promised > 4 * max_bytes:
        return Bad(offset, f"too_large: {promised} bytes", url)
    record.freeze()
    if record.content_length < promised:
        return Bad(offset, f"truncated: {record.content_length} bytes of {promised}", url)
    digest = record.headers.get("WARC-Block-Digest") or ""
    if _SHA1.fullmatch(digest) and not record.verify_block_digest():
        return Bad(offset, f"digest: the block is not what {digest} stands for", url)
    date = record.headers.get("WARC-Date") or Page.fetched_at
    if record.record_type != WarcRecordType.response:
        # As it came, without a server's headers: the record itself says of what type it is.
        is_text = record.record_type == WarcRecordType.conversion
        kind = "conversion" if is_text else "resource"
        content_type = record.headers.get("Content-Type") or ("text/plain" if is_text else "")
        if not is_text and url and urlsplit(url).scheme.lower() not in _PUBLISHED:
            return Bad(offset, f"no_page: the crawler's own notes ({url})", url)
        payload = record.reader.read(max_bytes + 1)
        page = Page(url, payload, kind, 200, content_type, {}, date, position=str(offset))
        return _checked(page, offset, max_bytes)
    try:
        record.parse_http(auto_decode="none")
        lines = record.http_headers
        status = lines.status_code if lines is not None else None
        headers = dict(lines.items()) if lines is not None else {}
        payload = decoded(record.reader.read(promised), headers, max_bytes + 1)
    except BaseException as error:
        if not is_damage(error):
            raise
        return Bad(offset, f"bad_http: {error}", url)
    page = _response(url, payload, status, headers, date, offset)
    return _checked(page, offset, max_bytes)


def _response(
    url: str, payload: bytes, status: int | None, headers: dict[str, str], date: str, offset: int
) -> Page:
    content_type = next((v for k, v in headers.items() if k.lower() == "content-type"), "")
    kind, place = "response", str(offset)
    return Page(url, payload, kind, status or 0, content_type, headers, date, position=place)


def _checked(page: Page, offset: int, max_bytes: int) -> Page | Bad:
    """The page if it is text that came whole, else why it is not."""
    media_type = page.content_type.partition(";")[0].strip().lower()
    if not page.url:
        return Bad(offset, "no_address: the record names no address")
    if page.status == 0:
        return Bad(offset, "bad_http: the response has no status", page.url)
    if page.status != 200:
        return Bad(offset, f"http_{page.status}", page.url)
    if media_type not in ("", *TEXT_TYPES):
        return Bad(offset, f"content_type: {media_type}", page.url)
    if len(page.payload) > max_bytes:
        return Bad(offset, f"too_large: over {max_bytes} bytes", page.url)
    return page


def _is_arc(stream: BinaryIO) -> bool:
    """ARC files start with a record that describes the file."""
    packing = _packing(stream)
    stream.seek(0)
    try:
        return unpacked(stream, f"arc{packing}").read(9) == b"filedesc:"
    except BROKEN:
        return False


def _packing(stream: BinaryIO) -> str:
    """How an archive is packed, as the ending that its name should have; "" for plain."""
    stream.seek(0)
    start = stream.read(4)
    return next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), "")


def _read_arc(stream: BinaryIO, max_bytes: int) -> Iterator[Page | Bad]:
    """ARC as warcio reads it; what comes after damage is lost, as nothing marks a record."""
    offset = 0
    packing = _packing(stream)
    stream.seek(0)
    # gzip is warcio's own, which tells for each record where in the file it is.
    plain = stream if packing == ".gz" else unpacked(stream, f"arc{packing}")
    archive = ArcIterator(plain, arc2warc=True)
    try:
        for record in archive:
            # Not get_record_offset(), which reads the record to its end to know it.
            offset = archive.offset
            if record.rec_type == "response":
                yield _arc_page(record, offset, max_bytes)
    except (ArchiveLoadFailed, ValueError, *BROKEN) as error:
        yield Bad(offset, f"damaged: {' '.join(str(error).split())}")


def _arc_page(record: ArcWarcRecord, offset: int, max_bytes: int) -> Page | Bad:
    url = _address(record.rec_headers.get_header("WARC-Target-URI") or "")
    date = record.rec_headers.get_header("WARC-Date") or Page.fetched_at
    promised = record.rec_headers.get_header("Content-Length") or ""
    if promised.isdecimal() and int(promised) > 4 * max_bytes:
        return Bad(offset, f"too_large: {promised} bytes", url)
    payload = record.content_stream().read(max_bytes + 1)
    lines = record.http_headers
    code = lines.get_statuscode() if lines is not None else None
    status = int(code) if code and code.isdecimal() else None
    headers = dict(lines.headers) if lines is not None else {}
    page = _response(url, payload, status, headers, date, offset)
    return _checked(page, offset, max_bytes)


def _address(uri: str) -> str:
    """A record's address without the brackets and blanks that some writers put there."""
    uri = uri.strip().removeprefix("<").removesuffix(">").strip()
    return normalise(uri) or quote(uri, safe="/%:?#[]@!$&'()*+,;=~-._")
