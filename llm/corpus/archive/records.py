"""Pages as records of a WARC 1.1 file (ISO 28500): responses, requests, revisits, conversions."""

import base64
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from llm.corpus.archive.pages import Page, one_line
from llm.corpus.web.headers import apart

# WARC header with the place in the user's own file that a record was read from, percent-encoded.
POSITION = "X-Source-Position"
_READABLE = "/#:@!$&'()*+,;=~-._ "

# Headers that speak of the transfer, not of the page as it is stored.
_TRANSFER = {"content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"}

# Why a revisit record holds no payload (WARC 1.1, 6.7).
_NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
_SAME_PAYLOAD = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"

_FIELDS = b"software: Penstock\r\nformat: WARC File Format 1.1\r\n"
INFORMATION_ID = "<urn:uuid:ad7be75d-d96c-5d63-9a2f-cbe2bd5ca26a>"
INFORMATION = (
    b"WARC/1.1\r\nWARC-Type: warcinfo\r\n"
    b"WARC-Record-ID: %s\r\n"
    b"WARC-Date: 1970-01-01T00:00:00Z\r\nContent-Type: application/warc-fields\r\n"
    b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (INFORMATION_ID.encode(), len(_FIELDS), _FIELDS)
)
"""The record that a file begins with."""


def records(page: Page) -> Iterator[bytes]:
    """The records of a page, uncompressed: its own and, where it is known, the request's.

    Their ids follow from URL and payload; a revisit's from the time too.
    """
    digest = _base32(page.digest)
    name = page.url + digest + (page.fetched_at if page.kind == "revisit" else "")
    own = _id(name)
    yield _own_record(page, own, digest)
    if page.request:
        block = _request(page)
        head = {
            "WARC-Type": "request",
            "WARC-Record-ID": _id("request " + name),
            "WARC-Concurrent-To": own,
            "WARC-Target-URI": page.url,
            "WARC-Date": page.fetched_at,
            "WARC-Warcinfo-ID": INFORMATION_ID,
        }
        yield _record(head, "application/http; msgtype=request", block)


def _own_record(page: Page, own: str, digest: str) -> bytes:
    head = {
        "WARC-Type": page.kind,
        "WARC-Record-ID": own,
        "WARC-Target-URI": page.url,
        "WARC-Date": page.fetched_at,
        POSITION: quote(page.position, safe=_READABLE, errors="replace"),
        "WARC-Warcinfo-ID": INFORMATION_ID,
    }
    content_type = "application/http; msgtype=response"
    if page.kind == "response":
        block = _http(page) + page.payload
    elif page.earlier is not None:
        block = _http(page)
        head["WARC-Profile"] = _NOT_MODIFIED if page.status == 304 else _SAME_PAYLOAD
        head["WARC-Refers-To"] = _id(page.url + digest)
        head["WARC-Refers-To-Target-URI"] = page.url
        head["WARC-Refers-To-Date"] = page.earlier.fetched_at
    else:
        block, content_type = page.payload, page.content_type
    return _record(head, content_type, block, digest)


def _record(head: Mapping[str, str], content_type: str, block: bytes, digest: str = "") -> bytes:
    lines = [f"{name}: {one_line(value)}" for name, value in head.items() if value]
    block_digest = hashlib.sha1(block, usedforsecurity=False).digest()
    lines.append(f"WARC-Block-Digest: sha1:{_base32(block_digest)}")
    if digest:
        lines.append(f"WARC-Payload-Digest: sha1:{digest}")
    lines += [f"Content-Type: {one_line(content_type)}", f"Content-Length: {len(block)}"]
    text = "\r\n".join(["WARC/1.1", *lines])
    return text.encode("utf-8", "replace") + b"\r\n\r\n" + block + b"\r\n\r\n"


def _http(page: Page) -> bytes:
    """Status line and headers. The payload is stored decoded: transfer headers get other names."""
    try:
        phrase = HTTPStatus(page.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {page.status} {phrase}"]
    for name, value in apart(page.headers):
        if name.lower() in _TRANSFER:
            name = f"X-Crawl-{name}"
        lines.append(f"{one_line(name)}: {one_line(value)}")
    if page.kind == "response":
        lines.append(f"Content-Length: {len(page.payload)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _request(page: Page) -> bytes:
    parts = urlsplit(page.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1"]
    lines += [f"{one_line(name)}: {one_line(value)}" for name, value in page.request.items()]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"


def _id(name: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>"


def _base32(digest: bytes) -> str:
    return base64.b32encode(digest).decode()
