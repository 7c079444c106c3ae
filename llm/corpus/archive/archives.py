"""Reading other people's WARC and ARC files: good records out, a reason for each bad one.

A damaged record costs itself only: reading goes on at the next place that looks like a record.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from llm.corpus.archive.packed import is_damage
from llm.corpus.archive.pages import Page, known_date
from llm.corpus.archive.parsing import Damage, Record, read_records
from llm.corpus.archive.transfer import decoded
from llm.corpus.web.crawler import TEXT_TYPES
from llm.corpus.web.headers import content_type, media_type, only, together
from llm.corpus.web.urls import normalise

_SHA1 = re.compile(r"sha1:([A-Z2-7]{32})")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d+)?[ \t]+(\d{3})(?!\d)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")

_PAGES = ("response", "resource", "conversion")
# Other kinds of the standard (ISO 28500, 6), which hold no page of their own.
_OTHERS = ("warcinfo", "request", "metadata", "revisit", "continuation")
# Where resources that are pages come from. Under other schemes crawlers keep what is none: wget its
# log (metadata:), Browsertrix the texts of pages that are in the file already (urn:).
_PUBLISHED = ("http", "https", "ftp", "file")


@dataclass(frozen=True)
class Bad:
    """A record that gives no page: where in the file it starts (bytes), and why."""

    offset: int
    reason: str
    url: str = ""


@dataclass(frozen=True)
class Other:
    """A record that is sound and holds no page. kind: what it is counted as, such as "revisit"."""

    kind: str


def read_archive(path: Path, max_bytes: int) -> Iterator[Page | Bad | Other]:
    """The pages of a WARC or ARC file (plain, gzip, zstd, lz4).

    Pages are responses with status 200 that are text, resources that are text, and conversion
    records. Records that never hold a page come out as Other. Other responses and resources, what
    is larger than `max_bytes`, of no known type or damaged comes out as Bad. Never raises for what
    is in the file, only OSError when it cannot be opened.
    """
    with path.open("rb") as stream:
        yield from read_stream(stream, max_bytes, path.name)


def read_stream(
    stream: BinaryIO, max_bytes: int, name: str, start: int = 0
) -> Iterator[Page | Bad | Other]:
    """The pages of an archive that is open: any stream that seeks, even one that is still coming.

    A page's position is `name` and where its record begins, counted from `start`:
    "crawl.warc.gz@5120" is the byte of a plain file or the member of a packed one, and
    "crawl.warc.gz@5120+300" byte 300 of what that member unpacks to, where it holds several records.
    """
    if not stream.read(1):
        yield Bad(start, "damaged: the file is empty")
        return
    for record in read_records(stream):
        place = record.place._replace(member=start + record.place.member)
        if isinstance(record, Damage):
            yield Bad(place.member, record.reason)
        else:
            yield _page(record, max_bytes, place.member, f"{name}@{place}")


def _page(record: Record, max_bytes: int, offset: int, position: str) -> Page | Bad | Other:
    """A record as a page, or why it is none."""
    headers = record.headers
    kind = headers.get("warc-type", "").lower()
    if kind in _OTHERS:
        return Other(kind)
    url = _address(headers.get("warc-target-uri", ""))
    other = _other(kind, url, headers.get("content-type", ""))
    if other:
        return Other(other)
    if kind not in _PAGES:
        return Bad(offset, f"unknown_type: {kind or 'none'}", url)
    if headers.get("warc-segment-number"):
        return Bad(offset, "segmented: the page goes on in other records", url)
    if record.length > 4 * max_bytes:
        return Bad(offset, f"too_large: {record.length} bytes", url)
    block = record.block()
    if len(block) < record.length and not (record.arc and _is_whole(block)):
        record.doubted = True
        return Bad(offset, f"{record.damage}: {len(block)} bytes of {record.length}", url)
    digest = _SHA1.fullmatch(headers.get("warc-block-digest", ""))
    if (
        digest
        and base64.b32decode(digest[1]) != hashlib.sha1(block, usedforsecurity=False).digest()
    ):
        record.doubted = True
        return Bad(offset, f"digest: the block is not what {digest[0]} stands for", url)
    date = known_date(headers.get("warc-date", ""))
    if kind == "response":
        page = _response(block, url, date, position, max_bytes)
        return (
            Bad(offset, page, url) if isinstance(page, str) else _checked(page, offset, max_bytes)
        )
    # As it came, without a server's headers: the record itself says of what type it is.
    content_type = headers.get("content-type") or ("text/plain" if kind == "conversion" else "")
    if kind == "resource" and url and urlsplit(url).scheme.lower() not in _PUBLISHED:
        return Bad(offset, f"no_page: the crawler's own notes ({url})", url)
    page = Page(url, block, kind, 200, content_type, {}, date, position=position)
    return _checked(page, offset, max_bytes)


def _other(kind: str, url: str, content_type: str) -> str:
    """What a record is counted as that is sound and no page; "" for one that may be a page."""
    if kind in _PAGES and (url.lower().startswith("dns:") or "text/dns" in content_type.lower()):
        return "dns"
    if (
        kind in _PAGES
        and url.startswith(("http:", "https:"))
        and urlsplit(url).path == "/robots.txt"
    ):
        return "robots"
    return ""


def _response(block: bytes, url: str, date: str, position: str, max_bytes: int) -> Page | str:
    """The page of an HTTP response, after those that only told to wait (1xx); else why it is none."""
    while True:
        end = _HEAD_END.search(block)
        head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
        first, *lines = _LINE_END.split(head)
        match = _STATUS.match(first)
        status = int(match[1]) if match else 0
        if not (100 <= status < 200 and status != 101 and _STATUS.match(body)):
            break
        block = body
    headers = _http_headers(lines)
    try:
        payload = decoded(body, headers, max_bytes + 1)
    except BaseException as error:
        if not is_damage(error):
            raise
        return f"bad_http: {' '.join(str(error).split())}"
    declared = " ".join(content_type(headers).split())
    return Page(url, payload, "response", status, declared, headers, date, position=position)


def _is_whole(block: bytes) -> bool:
    """Whether a response has as many bytes as its server said: the lengths in ARC files are rough."""
    end = _HEAD_END.search(block)
    lines = _LINE_END.split(block[: end.start()])[1:] if end else []
    said = only(_http_headers(lines), "content-length")
    return end is not None and said.isdecimal() and len(block) - end.end() >= int(said)


def _http_headers(lines: list[bytes]) -> dict[str, str]:
    """Headers by name in lower case; the lines of one name stay apart (see `web.headers`)."""
    pairs = list[tuple[str, str]]()
    folds = False
    for line in lines:
        text = line.decode("latin-1")
        if text[:1] in (" ", "\t"):
            if folds:
                name, value = pairs[-1]
                pairs[-1] = (name, f"{value} {text.strip()}")
            continue
        name, colon, value = text.partition(":")
        folds = bool(colon and name.strip())
        if folds:
            pairs.append((name.strip(), value.strip()))
    return together(pairs)


def _checked(page: Page, offset: int, max_bytes: int) -> Page | Bad:
    """The page if it is text that came whole, else why it is not."""
    kind = media_type(page.content_type).name
    if not page.url:
        return Bad(offset, "no_address: the record names no address")
    if page.status == 0:
        return Bad(offset, "bad_http: the response has no status", page.url)
    if page.status != 200:
        return Bad(offset, f"http_{page.status}", page.url)
    if kind not in ("", *TEXT_TYPES):
        return Bad(offset, f"content_type: {kind}", page.url)
    if len(page.payload) > max_bytes:
        return Bad(offset, f"too_large: over {max_bytes} bytes", page.url)
    return page


def _address(uri: str) -> str:
    """A record's address without the brackets and blanks that some writers put there."""
    uri = uri.strip().removeprefix("<").removesuffix(">").strip()
    return normalise(uri) or quote(uri, safe="/%:?#[]@!$&'()*+,;=~-._")
