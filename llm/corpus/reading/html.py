"""From bytes to clean text: encodings, extractors and tidying up."""

import re
import unicodedata

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from llm.corpus.reading.article import read_article
from llm.corpus.reading.blocks import prose
from llm.corpus.reading.engine import Engine
from llm.corpus.reading.mojibake import repair

# Where the fast reader doubts itself, trafilatura is believed unless it finds so much less.
MUCH_LESS = 0.5

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UTF_8 = ("utf-8", "utf8")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # what no text has, but binary data
_HANGUL = re.compile("[가-힣]{2}")
# What servers declare that were not told better.
_SERVER_DEFAULTS = ("iso-8859-1", "latin1", "us-ascii")
_META_CHARSET = re.compile(rb"(?i)<meta\b[^>]{0,400}?\bcharset\s*=\s*[\"']?\s*([\w:.-]+)")
# As far into a page as browsers look for it, and a little more.
_META_BYTES = 4096
# Control characters other than tab and newline, zero-width and direction marks, private use.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


class Unreadable(ValueError):
    """A page that gives no document; `reason` is one word for the table of drops."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no text: {reason}")
        self.reason = reason


def decode(data: bytes, declared: str | None) -> str:
    """Bytes as text: by byte order mark or escapes, as UTF-8 if that fits, as declared, or as detected.

    UTF-8 goes before the declared charset: text in another encoding hardly ever is valid UTF-8,
    while servers often declare wrongly. What they declare of every page, the page itself may correct.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    charset = (declared or "").strip().lower()
    text = _seven_bit(data, charset) or _wide(data)
    if text:
        return text
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    if charset in ("", *_UTF_8):
        text = data.decode("utf-8", "replace")
        lost = text.count("\ufffd")
        # UTF-8 that was cut or has a stray byte; other encodings hardly ever look like it at all.
        if len(text) - len(text.encode("ascii", "ignore")) > 5 * lost:
            return text
    if charset in ("", *_UTF_8, *_SERVER_DEFAULTS):
        match = _META_CHARSET.search(data[:_META_BYTES])
        said = match[1].decode().lower() if match else ""
        charset = said if said and said not in _UTF_8 else charset
    if charset and charset not in _UTF_8:
        try:
            return bytes_to_str(data, charset)
        except LookupError:
            pass  # a charset that nobody knows
    detected = (detect_encoding(data) or "").lower()
    if detected not in ("", *_UTF_8):
        return bytes_to_str(data, detected)
    try:
        korean = data.decode("euc-kr")  # which the detector takes for UTF-8
    except UnicodeDecodeError:
        return bytes_to_str(data, "windows-1252")
    return korean if _HANGUL.search(korean) else bytes_to_str(data, "windows-1252")


def _seven_bit(data: bytes, charset: str) -> str:
    """Text in an encoding that is ASCII with escapes; "": it is none."""
    named = charset.startswith(("iso-2022", "hz"))
    if not (named or b"\x1b$" in data or b"\x1b(" in data) or not data.isascii():
        return ""
    korean = b"\x1b$)C" in data
    try:
        return data.decode(
            charset if named else "iso-2022-kr" if korean else "iso-2022-jp-2", "replace"
        )
    except LookupError:
        return ""


def _wide(data: bytes) -> str:
    """UTF-16 without a byte order mark, told by where the zeros of ASCII stand; "": it is none."""
    start = data[:4096]
    if b"\0" not in start:
        return ""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) < len(start) / 10 or min(even, odd) > max(even, odd) / 10:
        return ""
    try:
        text = data[: len(data) & ~1].decode("utf-16-le" if odd > even else "utf-16-be")
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROL.search(text[:1024]) else text


def read_html(html: str, url: str, engine: Engine) -> tuple[str, str]:
    """The main text of an HTML page and the extractor that gave it. Raises Unreadable."""
    if "\0" in html[:1024]:
        raise Unreadable("binary")
    if engine == "trafilatura":
        return _found(_thorough(html, url)), "trafilatura"
    if engine == "resiliparse":
        return _found(_simple(html)), "resiliparse"
    reading = read_article(html)
    text = tidy(reading.text)
    if engine == "auto" and not text:
        return _found(_simple(html)), "resiliparse"
    if engine == "auto" and reading.doubtful:
        thorough = _thorough(html, url)
        if is_better(thorough, text):
            return thorough, "trafilatura"
    return _found(text), "blocks"


def is_better(second: str, first: str) -> bool:
    """Whether a second opinion holds about as much prose as the first, and is no list of links."""
    if len(second) <= MUCH_LESS * len(first):
        return False
    found = sum(prose("p", line, 0) for line in second.split("\n"))
    had = sum(prose("p", line, 0) for line in first.split("\n"))
    return found >= MUCH_LESS * had and found * len(first) >= MUCH_LESS * had * len(second)


def tidy(text: str) -> str:
    """Text as it was meant: wrongly decoded characters repaired, plain line ends and spaces.

    Nothing invisible, characters composed (NFC).

    Indentation stays; white space at line ends goes; at most one blank line in a row.
    """
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", repair(text)))
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n")


def _found(text: str) -> str:
    if not text.strip():
        raise Unreadable("no_text")
    return text


def _simple(html: str) -> str:
    return tidy(extract_plain_text(HTMLTree.parse(html), main_content=True))


def _thorough(html: str, url: str) -> str:
    # trafilatura answers None where it finds no text, whatever the reason.
    # Without its fallbacks it is faster and no worse (F1 0.955 against 0.953 on article pages).
    text = trafilatura.extract(html, url=url or None, fast=True, include_comments=False)
    return tidy(text or "")
