"""Sitemaps: lists of a site's pages in XML or plain text, plain or gzipped (sitemaps.org), and feeds.

Read by their tags, not by an XML parser: of a file with one fault libxml2 loses every `&amp;` behind it,
or everything, and a fault is nothing rare in what plugins write.
"""

import codecs
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5

MAX_BYTES = 50 * 1024 * 1024
"""The protocol's limit for one sitemap, unpacked."""

NONE = "damaged: no sitemap"

_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\x00": "utf-16-le",
    b"\x00<": "utf-16-be",
}
# Declared where the first bytes are not of such an encoding.
_WIDE = ("utf-16", "utf-32", "utf16", "utf32", "ucs", "iso-10646")
# What servers declare that were not told better.
_SERVER_DEFAULTS = ("iso-8859-1", "latin1", "us-ascii")
_DECLARED = re.compile(rb"\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")

# The roots of lists, which may be empty; of everything else nothing is expected.
_ROOTS = {"urlset", "sitemapindex", "rss", "feed", "RDF"}
_ROOT = re.compile(rf"<(?:[\w.-]{{1,40}}:)?(?:{'|'.join(_ROOTS)})[\s/>]")
# What names a page: an element and the one that it is in.
_PAGES = {("loc", "url"), ("link", "item"), ("link", "entry")}
# Elements deeper than this are taken for unclosed ones.
_MAX_DEPTH = 256

# A tag, or what begins a section without any. A > in quotes ends no tag, unless a quote is missing.
_TAG = re.compile(
    r"<(?:(/?)([A-Za-z_:][\w:.-]*)>|(!--|!\[CDATA\[|\?)"
    r"|(?=[A-Za-z_:/])/?([A-Za-z_:][^\s<>/]*)((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*|[^<>]*)>)"
)
_ENDS = {"!--": "-->", "?": "?>", "![CDATA[": "]]>"}
_ATTRIBUTE = re.compile(
    r"(?<![^\s\"'])([A-Za-z_:][\w:.-]*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
)
_REFERENCE = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{0,30});")
# What no address may hold, and no XML either (XML 1.0, 2.2).
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Sitemap:
    """Addresses of pages, and of further sitemaps, as written and in order.

    problem: what is wrong with it, in one word and after a colon the details; "": nothing.
    """

    pages: tuple[str, ...]
    sitemaps: tuple[str, ...]
    problem: str = ""


def read(body: bytes, charset: str | None = None) -> Sitemap:
    """Parse a sitemap, a sitemap index, an RSS or Atom feed or a plain list of addresses.

    charset: what the server declared, if it did.
    Never raises: of a broken one, what could be read. A fault spoils no more than its own place.
    """
    whole = True
    if body.startswith(_GZIP):
        body, whole = _unzip(body)
    text = _decode(body, charset)
    if text.lstrip().startswith("<") or _ROOT.search(text):
        found = _read_xml(text)
    else:
        listed = tuple(line for line in text.split() if line.startswith("http"))
        found = Sitemap(listed, (), "" if listed else NONE)
    if not whole and not found.problem:
        return Sitemap(
            found.pages, found.sitemaps, "truncated: only its beginning could be unpacked"
        )
    return found


def _decode(body: bytes, charset: str | None) -> str:
    """The text as its mark, the server or its declaration says, whichever fits first; else as UTF-8."""
    mark = next((mark for mark in _MARKS if body.startswith(mark)), b"")
    if mark:
        return body.decode(_MARKS[mark], "penstock.escaped")
    said = _DECLARED.match(body)
    declared = said[1].decode().lower() if said else ""
    if declared.startswith(_WIDE):
        declared = "utf-8"  # else its declaration could not be read
    served = (charset or "").strip().strip("\"'").lower()
    if (declared and served in _SERVER_DEFAULTS) or served.startswith(_WIDE):
        served = ""
    labels = [label for label in (served, declared, "utf-8") if label]
    for errors in ("strict", "penstock.escaped"):
        for label in labels:
            try:
                return body.decode(label, errors)
            except (LookupError, UnicodeError):
                continue
    raise AssertionError("UTF-8 reads anything where its errors are escaped")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not text as addresses write them, so that they stay the bytes that they are."""
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in wrong), error.end


codecs.register_error("penstock.escaped", _escape)


def _read_xml(text: str) -> Sitemap:
    pages: list[str] = []
    sitemaps: list[str] = []
    is_list = False
    for name, parent, found in _elements(text):
        address = _CONTROLS.sub("", found).strip()
        if not name:
            is_list = True
        elif address and (name, parent) == ("loc", "sitemap"):
            sitemaps.append(address)
        elif address and (name, parent) in _PAGES:
            pages.append(address)
    if is_list or pages or sitemaps:
        return Sitemap(tuple(pages), tuple(sitemaps))
    return Sitemap((), (), NONE)


def _elements(text: str) -> Iterator[tuple[str, str, str]]:
    """(name, the name of what it is in, address) of all loc and link; ("", "", "") for a root.

    A tag that closes nothing is passed over, one that closes more than its own element closes all.
    """
    above: deque[str] = deque(maxlen=_MAX_DEPTH)
    # Of the open loc or link: its tag, what it is in, its address in pieces.
    inner, parent, pieces = "", "", list[str]()
    missing = set[str]()
    place = 0
    while found := _TAG.search(text, place):
        if inner and above and above[-1] == inner:
            pieces.append(_unescaped(text[place : found.start()]))
        place = found.end()
        closes, tag, section, other, attributes = found.groups()
        tag = tag or other
        if section:
            end = -1 if section in missing else text.find(_ENDS[section], place)
            if end < 0:
                missing.add(section)
                continue
            if inner and section == "![CDATA[":
                pieces.append(text[place:end])
            place = end + len(_ENDS[section])
        elif closes or text[found.start() + 1] == "/":
            if above and above[-1] == tag:
                above.pop()
            elif tag in above:
                while above.pop() != tag:
                    pass
            else:
                continue
            if inner and (tag == inner or inner not in above):
                yield _local(inner), _local(parent), "".join(pieces)
                inner = ""
        else:
            name = _local(tag)
            if name in _ROOTS:
                yield "", "", ""
            whole = bool(attributes) and attributes.rstrip().endswith("/")
            if name in ("loc", "link"):
                if inner:
                    yield _local(inner), _local(parent), "".join(pieces)
                inner, parent, pieces = tag, above[-1] if above else "", []
                if name == "link":
                    said = _attributes(attributes or "")
                    if said.get("rel", "alternate") != "alternate":
                        inner = ""  # of Atom's links, those to the entry's page only
                    elif said.get("href") or whole:
                        yield name, _local(parent), _unescaped(said.get("href", ""))
                        inner = ""
            if not whole:
                above.append(tag)
    if inner:
        yield _local(inner), _local(parent), "".join(pieces)


def _local(tag: str) -> str:
    return tag.rpartition(":")[2] if ":" in tag else tag


def _attributes(written: str) -> dict[str, str]:
    """The attributes of a tag; of one that is doubled, the first."""
    return {name: "".join(values) for name, *values in reversed(_ATTRIBUTE.findall(written))}


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(_meant, text) if "&" in text else text


def _meant(reference: re.Match[str]) -> str:
    """What a reference stands for; what is none stays as it is written."""
    name = reference[1]
    if name.startswith("#"):
        code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
        return chr(code) if code <= 0x10FFFF else ""
    return html5.get(f"{name};", reference[0])


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
