"""Which encoding a page is in: by its mark, what was declared, what its bytes are, or a detector.

A byte order mark decides. Then what the server or the page declares counts, with the labels of the
WHATWG Encoding standard, unless the bytes are UTF-8 beyond doubt: text in another encoding hardly
ever is. Only where nothing fits is chardet asked, of the text without its markup.
"""

import re
from typing import NamedTuple

import chardet

from llm.corpus.reading.encodings import BAD, decode, find

LIBRARIES = ("chardet",)

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_MARKS_OF_UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
# What servers declare that were not told better.
_SERVER_DEFAULTS = ("iso-8859-1", "iso8859-1", "latin1", "us-ascii", "ascii")
# Encodings in which the two or three bytes of a character of UTF-8 are not text.
_LATIN = frozenset(
    f"{family}{number}"
    for family, numbers in (
        ("windows-", (1250, 1252, 1254, 1257)),
        ("iso-8859-", (2, 3, 4, 10, 13, 14, 15, 16)),
    )
    for number in numbers
)
# This many characters of UTF-8 and nothing else do not occur in other encodings.
_BEYOND_DOUBT = 6
# Characters of UTF-8 for each stray byte, where a page that declares another encoding is in UTF-8.
_STRAY = 20
# As far into a page as browsers look for a meta element, and a little more.
_META_BYTES = 4096
_DETECT_BYTES = 1 << 16
# Bytes beyond ASCII that prove an encoding which is not a label of the Web, in a text that is mostly ASCII.
_PROOF = 16
# No part of it looks further than the next "<", so that no page takes long.
_MARKUP = re.compile(rb"(?i)<[a-z/!?][^<>]*>|&#?\w{1,31};|[\r\n\t ]+")
_HIGH = re.compile(rb"[\x80-\xff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # what no text has, but binary data
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")


class Decoded(NamedTuple):
    """A page's text and the encoding it was in, by the standard's name or that of Python's codec."""

    text: str
    encoding: str


def read(data: bytes, declared: str | None) -> Decoded:
    """Bytes as text. declared: the charset that the server named, if it did."""
    if data.startswith(_MARKS_OF_UTF_32):
        return Decoded(data.decode("utf-32", "replace"), "utf-32")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return Decoded(decode(data[len(mark) :], encoding), encoding)
    label = (declared or "").strip().strip("\"'")
    name = find(label)
    label = label.lower()
    found = _seven_bit(data, label) or _wide(data)
    if found:
        return found
    if data.isascii() and name not in ("utf-16le", "utf-16be", "replacement", "iso-2022-jp"):
        return Decoded(data.decode("ascii"), name or meta_charset(data) or "utf-8")
    if name in (None, "utf-8") or label in _SERVER_DEFAULTS:
        said = meta_charset(data)
        name = said if said and (said != "utf-8" or name is None) else name
    text = _utf_8(data, name)
    if text is not None:
        return Decoded(text, "utf-8")
    if name is not None and name != "utf-8":
        return Decoded(decode(data, name), name)
    match = _XML.match(data[:_META_BYTES])
    said = match[2].decode("latin-1") if match else ""
    return _by_name(data, said if find(said) not in (None, "utf-8") else _detect(data))


def meta_charset(data: bytes) -> str | None:
    """The encoding that a page names in its head, by the prescan of the HTML standard; None: none."""
    start = data[:_META_BYTES]
    if b"charset" not in start.lower():
        return None
    for tag in _TAG.finditer(start):
        if tag["meta"] is None:
            continue
        attributes: dict[bytes, bytes] = {}
        for attribute in _ATTRIBUTE.finditer(tag["meta"]):
            value = attribute[2] or attribute[3] or attribute[4] or b""
            attributes.setdefault(attribute[1].lower(), value)
        label = attributes.get(b"charset")
        if label is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
            content = _CHARSET.search(attributes.get(b"content", b""))
            label = content and (content[1] or content[2] or content[3])
        if label and (name := find(label.decode("latin-1"))):
            return _in_ascii(name)
    return None


_XML = re.compile(rb"<\?xml[^>]*?\bencoding\s*=\s*([\"'])([^\"'>]*)\1")
# Comments, meta elements, and other tags, whose attributes may hold what looks like either.
_VALUES = rb"(?:=\s*\"[^\"]*\"|=\s*'[^']*'|=(?!\s*[\"'])|[^>=]++)*+"
_TAG = re.compile(
    rb"(?is)<!--.*?-->|<meta(?=[\s/])(?P<meta>"
    + _VALUES
    + rb")>|</?[a-z]"
    + _VALUES
    + rb">|<[!/?][^>]*>"
)
_ATTRIBUTE = re.compile(rb"([^\s/=>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]*)))?")
_CHARSET = re.compile(rb"(?i)charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))")


def _in_ascii(name: str) -> str:
    """What a label means that was read as ASCII: the page cannot be in UTF-16."""
    return {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(
        name, name
    )


def _utf_8(data: bytes, name: str | None) -> str | None:
    """Text where the bytes are UTF-8, though `name` may say otherwise."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        lost = text.count(BAD)
        good = len(text) - len(text.encode("ascii", "ignore")) - lost
        # UTF-8 that was cut or has a stray byte; other encodings hardly ever look like it at all.
        least = 2 * lost if name is None else lost if name == "utf-8" else _STRAY * lost
        return text if good > least else None
    if name in (None, "utf-8") or name in _LATIN:
        return text
    if name in ("utf-16le", "utf-16be"):
        return text if b"\0" not in data else None
    for count, _ in enumerate(_MULTIBYTE.finditer(data), 1):
        if count == _BEYOND_DOUBT:
            return text
    return None


def _seven_bit(data: bytes, label: str) -> Decoded | None:
    """Text in an encoding that is ASCII with escapes; None: it is none.

    Browsers refuse all of them but ISO-2022-JP, as scripts can hide in them. Text cannot.
    """
    named = label.startswith(("iso-2022", "hz", "csiso2022"))
    if not (named or b"\x1b$" in data or b"\x1b(" in data) or not data.isascii():
        return None
    if find(label) == "iso-2022-jp":
        return Decoded(decode(data, "iso-2022-jp"), "iso-2022-jp")
    codec = (
        "iso-2022-kr" if b"\x1b$)C" in data else "hz" if label.startswith("hz") else "iso-2022-jp"
    )
    if codec == "iso-2022-jp" and named:
        codec = label
    if codec == "iso-2022-jp" and not _OTHER_ESCAPES.search(data):
        return Decoded(decode(data, codec), codec)
    try:
        return Decoded(
            data.decode("iso-2022-jp-2" if codec == "iso-2022-jp" else codec, "replace"), codec
        )
    except LookupError:
        return None


# Sets of characters that only ISO-2022-JP-1 and -2 have.
_OTHER_ESCAPES = re.compile(rb"\x1b(?!\([BJI]|\$[@B])")


def _wide(data: bytes) -> Decoded | None:
    """UTF-16 or -32 without a mark, told by where the zeros of ASCII stand; None: it is neither."""
    start = data[:4096]
    if b"\0" not in start:
        return None
    for name in ("utf-32-le", "utf-32-be") if 2 * start.count(0) > len(start) else ():
        try:
            text = data[: len(data) & ~3].decode(name)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text[:1024]):
            return Decoded(text, name)
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) < len(start) / 10 or min(even, odd) > max(even, odd) / 10:
        return None
    name = "utf-16le" if odd > even else "utf-16be"
    text = decode(data[: len(data) & ~1], name)
    return None if BAD in text or _CONTROL.search(text[:1024]) else Decoded(text, name)


def _detect(data: bytes) -> str:
    """The name of an encoding; windows-1252, which gives any bytes a meaning, where there is none."""
    first = _HIGH.search(data)
    start = max(0, first.start() - _DETECT_BYTES // 8) if first else 0
    sample = data[start : start + 4 * _DETECT_BYTES]
    prose = _MARKUP.sub(b" ", sample) if b"<" in sample else sample
    prose = sample if prose.isascii() else prose
    prose = prose[:_DETECT_BYTES]
    name = chardet.detect(prose)["encoding"] or "windows-1252"
    return "windows-1252" if _is_doubtful(prose, name) else name


def _is_doubtful(prose: bytes, name: str) -> bool:
    """Whether a detector can hardly be right, as it often is not on few words of a Western language.

    No text has letters of two scripts in most of its words that are not all ASCII: "cafי" is café. And
    a few characters do not prove an encoding that the Web never had.
    """
    high = len(_HIGH.findall(prose))
    if high < _PROOF and find(name) is None and 2 * high < len(prose):
        return True
    try:
        words = _OTHER_WORDS.findall(prose.decode(name, "replace"))
    except LookupError:
        return True
    mixed = sum(_MIXED.search(word) is not None for word in words)
    return 2 * mixed > len(words)


def _by_name(data: bytes, said: str) -> Decoded:
    """Text in an encoding that XML (IANA's names) or a detector names: a label of the Web it is not.

    So Windows' supersets, with other characters in some places, are taken only where they are needed.
    """
    name = find(said)
    try:
        text = data.decode(said, "strict" if name else "replace")
        if name is None or not _C1.search(text):
            return Decoded(text, name or said.lower())
    except (UnicodeDecodeError, LookupError):
        pass
    name = name or "windows-1252"
    return Decoded(decode(data, name), name)


_C1 = re.compile("[\x80-\x9f]")
# Words that are not all ASCII, and a Latin letter beside one of an alphabet that is not Latin.
_OTHER_WORDS = re.compile(r"\w*[^\W\x00-\x7f]\w*")
_ALPHABETS = (
    "\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u0590-\u06ff\u0e00-\u0e7f\ufb1d-\ufdff\ufe70-\ufefc"
)
_MIXED = re.compile(f"[A-Za-z][{_ALPHABETS}]|[{_ALPHABETS}][A-Za-z]")
