"""Sitemaps: lists of a site's pages in XML or plain text, plain or gzipped (sitemaps.org)."""

import gzip
import zlib
from dataclasses import dataclass

from lxml import etree

LIBRARIES = ("lxml",)

MAX_BYTES = 50 * 1024 * 1024
"""The protocol's limit for one sitemap, unpacked."""


@dataclass(frozen=True)
class Sitemap:
    """Addresses of pages, and of further sitemaps, as written and in order."""

    pages: tuple[str, ...]
    sitemaps: tuple[str, ...]


def read(body: bytes) -> Sitemap:
    """Parse a sitemap, a sitemap index, an RSS or Atom feed or a plain list of addresses.

    Never raises: of a broken one, what could be read.
    """
    if body[:2] == b"\x1f\x8b":
        body = _unzip(body)
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = body.decode("utf-8-sig", "replace").split()
        return Sitemap(tuple(line for line in lines if line.startswith("http")), ())
    # No entities, no network: a sitemap is somebody else's XML.
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return Sitemap((), ())
    if root is None:
        return Sitemap((), ())
    pages: list[str] = []
    sitemaps: list[str] = []
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        tag, parent = etree.QName(element).localname, element.getparent()
        above = etree.QName(parent).localname if parent is not None else ""
        address = (tag == "link" and element.get("href")) or element.text or ""
        if element.get("rel", "alternate") != "alternate":
            continue  # of Atom's links, those to the entry's page only
        if (tag, above) == ("loc", "sitemap"):
            sitemaps.append(address.strip())
        elif (tag, above) in {("loc", "url"), ("link", "item"), ("link", "entry")}:
            pages.append(address.strip())
    return Sitemap(tuple(filter(None, pages)), tuple(filter(None, sitemaps)))


def _unzip(body: bytes) -> bytes:
    """Unpack up to the limit; of a truncated file, what is there."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        return unpacker.decompress(body, MAX_BYTES)
    except (zlib.error, gzip.BadGzipFile):
        return b""
