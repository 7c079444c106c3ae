#!/usr/bin/env bash
# FastWARC 2 with auto_decode="all": a response that was sent packed and in chunks (Content-Encoding: gzip
# with Transfer-Encoding: chunked, as most servers send and many crawlers store) is decoded well, and then
# the iteration ends without an error: every later record of the archive is lost. Either coding alone is
# harmless, and so is auto_decode="transfer"; auto_decode="content" raises at such a record, since it
# undoes the second coding first. One would have guessed that decoding a body never moves the place in
# the archive.
# Versions: FastWARC 2.0.1.
# Source: https://resiliparse.chatnoir.eu/en/stable/man/fastwarc.html (auto_decode), RFC 9112 section 7.1
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check fastwarc==2.0.1
env/bin/python - <<'PYTHON'
import gzip
import io

from fastwarc.warc import ArchiveIterator, WarcRecordType

PAGE = b"<p>a page</p>"


def record(fields: str, body: bytes) -> bytes:
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{fields}\r\n".encode() + body
    head = (
        "WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: https://a.example/\r\n"
        "WARC-Record-ID: <urn:uuid:12345678-1234-4234-8234-123456789abc>\r\n"
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


PACKED, CHUNKED = "Content-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\n"
FIRST = {
    "plain": record("", PAGE),
    "packed": record(PACKED, gzip.compress(PAGE)),
    "chunked": record(CHUNKED, chunked(PAGE)),
    "both": record(CHUNKED + PACKED, chunked(gzip.compress(PAGE))),
}


def bodies(first: str, decode: str) -> list[bytes]:
    archive = io.BytesIO(FIRST[first] + 3 * FIRST["plain"])
    found = ArchiveIterator(archive, record_types=WarcRecordType.response, auto_decode=decode)
    return [one.reader.read() for one in found]


for first in FIRST:
    read = bodies(first, "all")
    print(f"first record {first:8} auto_decode='all': {len(read)} of 4 records")
    assert read == [PAGE] * (1 if first == "both" else 4), "this has changed"
assert len(bodies("both", "transfer")) == 4, "this has changed"
try:
    bodies("both", "content")
except OSError as error:
    print("first record both     auto_decode='content':", error)
else:
    raise SystemExit("this has changed")
PYTHON
