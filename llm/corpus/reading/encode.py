"""Queries of links in a page's own encoding, as browsers send them (URL and Encoding standards)."""

import re
import unicodedata
from functools import cache
from urllib.parse import quote_from_bytes

from llm.corpus.reading.encodings import BAD, decode, find

_OTHER = re.compile("[^\x00-\x7f]+")
_OUTSIDE_ASCII = ("utf-16le", "utf-16be", "replacement")  # whose pages have links in UTF-8
_KANJI, _ROMAN, _ASCII = b"\x1b$B", b"\x1b(J", b"\x1b(B"
# Characters with several sequences in Big5 of which the last one counts.
_LAST_IN_BIG5 = "═╞╡╪十卅"


def escape_query(query: str, name: str) -> str:
    """A query with escapes for all but ASCII, in the encoding `name` (as `encodings.find` gives it;
    UTF-8 for others, such as a code page of DOS that a detector found).

    What the encoding lacks becomes an escaped numeric character reference: %26%2312354%3B.
    """
    if query.isascii() or name in ("utf-8", *_OUTSIDE_ASCII) or find(name) != name:
        return query
    return _OTHER.sub(lambda match: _escaped(match[0], name), query)


def _escaped(text: str, name: str) -> str:
    characters = _encoder("euc-jp" if name == "iso-2022-jp" else name)
    pieces = []
    for character in text:
        code = characters.get(character)
        if name == "iso-2022-jp":
            code = _in_iso_2022_jp(character, code)
        elif code is None and name == "gb18030" and character != "\ue5e5":
            code = character.encode("gb18030", "replace")
        pieces.append(f"&#{ord(character)};".encode() if code is None else code)
    joined = b"".join(pieces)
    if name == "iso-2022-jp":  # one change of state for neighbours
        joined = joined.replace(_ASCII + _KANJI, b"")
    return quote_from_bytes(joined, safe="")


def _in_iso_2022_jp(character: str, code: bytes | None) -> bytes | None:
    if character in "¥‾":
        return _ROMAN + (b"\\" if character == "¥" else b"~") + _ASCII
    if code is not None and code[0] == 0x8E:  # halfwidth katakana has no place here
        code = _encoder("euc-jp").get(_FULL_MARKS.get(character) or _full(character))
    return None if code is None else _KANJI + bytes(byte & 0x7F for byte in code) + _ASCII


_FULL_MARKS = {"ﾞ": "゛", "ﾟ": "゜"}


def _full(character: str) -> str:
    return unicodedata.normalize("NFKC", character)


@cache
def _encoder(name: str) -> dict[str, bytes]:
    """The bytes of each character, from the decoder: of several sequences the first one counts."""
    found: dict[str, bytes] = {}
    for byte in range(0x80, 0x100) if name != "gb18030" else ():
        character = decode(bytes([byte]), name)
        if len(character) == 1 and character != BAD:
            found.setdefault(character, bytes([byte]))
    if name in _TWO_BYTES:
        for pair in _pairs(name):
            character = decode(pair, name)
            if character in _LAST_IN_BIG5 and name == "big5":
                found[character] = pair
            elif len(character) == 1 and character != BAD:
                found.setdefault(character, pair)
    if name in ("gbk", "gb18030"):
        found |= {old: found[new] for old, new in zip(_PRIVATE, _IN_UNICODE_NOW, strict=True)}
        if name == "gb18030":
            found["\ue7c7"] = b"\x815\xf47"
    if name in ("euc-jp", "shift_jis"):
        found |= {"¥": b"\\", "‾": b"~", "−": found["－"]}
    return found


# Private characters that stood for others in GB 18030 of 2000: both have the same bytes.
_PRIVATE = "".join(
    map(
        chr,
        [*range(0xE78D, 0xE797), 0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864],
    )
)
_IN_UNICODE_NOW = "︐︒︑︓︔︕︖︗︘︙龴龵龶龷龸龹龺龻"

_TWO_BYTES = ("big5", "euc-kr", "shift_jis", "euc-jp", "gb18030", "gbk")


def _pairs(name: str) -> list[bytes]:
    """Sequences of two bytes in the order of the index, without those that are only decoded."""
    first = 0xA1 if name == "big5" else 0x81  # Hong Kong's additions are left out
    pairs = [bytes([lead, trail]) for lead in range(first, 0xFF) for trail in range(0x40, 0xFF)]
    if name == "shift_jis":  # NEC's selection of IBM's characters, and private use
        pairs = [pair for pair in pairs if not 0xED <= pair[0] <= 0xF9]
    return pairs
