"""Sitemaps: lists of a site's pages in XML or plain text, plain or gzipped (sitemaps.org)."""

import codecs
import zlib
from dataclasses import dataclass
from io import BytesIO

from lxml import etree

LIBRARIES = ("lxml",)

MAX_BYTES = 50 * 1024 * 1024
"""The protocol's limit for one sitemap, unpacked."""

NONE = "damaged: no sitemap"

_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# The roots of lists, which may be empty; of everything else nothing is expected.
_ROOTS = {"urlset", "sitemapindex", "rss", "feed", "RDF"}


@dataclass(frozen=True)
class Sitemap:
    """Addresses of pages, and of further sitemaps, as written and in order.

    problem: what is wrong with it, in one word and after a colon the details; "": nothing.
    """

    pages: tuple[str, ...]
    sitemaps: tuple[str, ...]
    problem: str = ""


def read(body: bytes) -> Sitemap:
    """Parse a sitemap, a sitemap index, an RSS or Atom feed or a plain list of addresses.

    Never raises: of a broken one, what could be read.
    """
    whole = True
    if body.startswith(_GZIP):
        body, whole = _unzip(body)
    mark = next((mark for mark in _MARKS if body.startswith(mark)), b"")
    encoding = None
    if mark:
        body, encoding = body.decode(_MARKS[mark], "replace").encode(), "utf-8"
    if body.lstrip().startswith(b"<"):
        found = _read_xml(body, encoding)
    else:
        lines = body.decode("utf-8", "replace").split()
        listed = tuple(line for line in lines if line.startswith("http"))
        found = Sitemap(listed, (), "" if listed else NONE)
    if not whole and not found.problem:
        return Sitemap(
            found.pages, found.sitemaps, "truncated: only its beginning could be unpacked"
        )
    return found


def _read_xml(body: bytes, encoding: str | None) -> Sitemap:
    pages: list[str] = []
    sitemaps: list[str] = []
    root = ""
    # No entities, no network: a sitemap is somebody else's XML.
    events = etree.iterparse(
        BytesIO(body),
        events=("start", "end"),
        recover=True,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        encoding=encoding,
        remove_comments=True,
        remove_pis=True,
    )
    above: list[str] = []
    try:
        for event, element in events:
            if event == "start":
                above.append(_local(element))
                root = root or above[0]
                continue
            tag = above.pop()
            place = (tag, above[-1] if above else "")
            address = (tag == "link" and element.get("href")) or element.text or ""
            # Of Atom's links, those to the entry's page only.
            if element.get("rel", "alternate") == "alternate":
                if place == ("loc", "sitemap"):
                    sitemaps.append(address.strip())
                elif place in {("loc", "url"), ("link", "item"), ("link", "entry")}:
                    pages.append(address.strip())
            if len(above) == 1:
                # What is read is forgotten, else a sitemap takes twenty times its size.
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except (etree.XMLSyntaxError, ValueError):
        pass  # what came before it counts
    listed = Sitemap(tuple(filter(None, pages)), tuple(filter(None, sitemaps)))
    if root in _ROOTS or listed.pages or listed.sitemaps:
        return listed
    return Sitemap((), (), NONE)


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _unzip(body: bytes) -> tuple[bytes, bool]:
    """Unpack all members up to the limit; of a broken file, what is there. Also: is it whole?"""
    data = bytearray()
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    position = 0
    try:
        while position < len(body):
            if unpacker.eof:
                if not body.startswith(_GZIP, position):
                    break  # padding
                unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            chunk = body[position : position + _CHUNK]
            data += unpacker.decompress(chunk, MAX_BYTES - len(data) + 1)
            if len(data) > MAX_BYTES:
                return bytes(data[:MAX_BYTES]), False
            position += len(chunk) - len(unpacker.unused_data)
    except zlib.error:
        return bytes(data), False
    return bytes(data), unpacker.eof
