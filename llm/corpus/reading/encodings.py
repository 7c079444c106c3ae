"""Decoding as browsers do it: the WHATWG Encoding standard (https://encoding.spec.whatwg.org).

Python's codecs do the bulk of the work, for they are fast. Where their tables differ from the
standard's indexes, `encoding_tables` has the character; where a sequence is wrong, the standard's decoder
says how many bytes it takes: an ASCII byte after a bad lead byte is kept.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from webencodings.labels import LABELS

from llm.corpus.reading.encoding_tables import CORRECTIONS

LIBRARIES = ("webencodings",)

BAD = "\ufffd"

# Python's codec that is nearest to the standard's encoding.
_CODECS = {
    "gbk": "gb18030",  # the standard has one decoder for both
    "big5": "cp950",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac-roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
}
_WIDE = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}
_LABEL_SPACE = "\t\n\f\r "


def find(label: str) -> str | None:
    """The name of the encoding that a label means on the Web ("latin1" is windows-1252); None: none."""
    # Only ASCII is lowercased: the Kelvin sign is not k.
    return LABELS.get(label.strip(_LABEL_SPACE).encode("utf-8", "replace").lower().decode())


def decode(data: bytes, name: str) -> str:
    """Bytes by an encoding's decoder, U+FFFD for what it does not know. name: as `find` gives it."""
    if name == "utf-8":
        return data.decode("utf-8", "replace")
    if name in _WIDE:
        return data.decode(_WIDE[name], "replace")
    if name == "replacement":
        return BAD if data else ""
    if name == "iso-2022-jp":
        return _iso_2022_jp(data)
    if data.isascii():
        return data.decode("ascii")
    if _base(name) in _TWO_BYTES:
        return (
            _euc_jp_tilde(data) if name == "euc-jp" and _TILDE in data else _two_bytes(data, name)
        )
    return codecs.charmap_decode(data, "strict", _single_bytes(name))[0]


def _two_bytes(data: bytes, name: str) -> str:
    table = _table(name)
    text = data.decode(table.codec, table.errors)
    return text if table.wrong.isdisjoint(set(text)) else text.translate(table.instead)


_TILDE = b"\x8f\xa2\xb7"


def _euc_jp_tilde(data: bytes) -> str:
    """Text with the tilde of JIS X 0212, which Python takes for ASCII's: that one steps aside."""
    aside = b"\x01\x02"
    while aside in data:
        aside = b"\x01\0" + aside[1:]
    text = _two_bytes(data.replace(b"~", aside), "euc-jp")
    return text.replace("~", "～").replace(aside.decode(), "~")


def _base(name: str) -> str:
    return "gb18030" if name == "gbk" else name


@cache
def _single_bytes(name: str) -> str:
    """The characters of all 256 bytes."""
    if name == "x-user-defined":
        return "".join(map(chr, [*range(0x80), *range(0xF780, 0xF800)]))
    codec = _CODECS.get(name, name)
    found = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    for byte in range(0x80, 0xA0):
        if found[byte] == BAD:  # bytes without a meaning stand for control characters
            found[byte] = chr(byte)
    for start, characters in CORRECTIONS.get(name, ()):
        found[int(start, 16)] = characters
    return "".join(found)


class _Table(NamedTuple):
    """How a codec becomes the standard's: who is asked where it fails, and what it has wrong."""

    codec: str
    errors: str
    wrong: frozenset[str]
    instead: Mapping[int, str]


@cache
def _table(name: str) -> _Table:
    name = _base(name)
    codec = _CODECS.get(name, name)
    exact = _exact(name)
    missing: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    for sequence, character in exact.items():
        said = sequence.decode(codec, "replace")
        if BAD in said:
            missing[sequence] = character
        elif said != character:
            instead[said] = character
    # What the codec lacks must not be taken for what it has wrong: it has a place of its own first.
    for number, (sequence, character) in enumerate(missing.items()):
        if character in instead:
            missing[sequence] = chr(0xF0000 + number)
            instead[missing[sequence]] = character
    step = _TWO_BYTES[name]

    def one(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        return step(error.object, error.start, missing)

    errors = f"penstock.{name}"
    codecs.register_error(errors, one)
    return _Table(codec, errors, frozenset(instead), str.maketrans(instead))


def _exact(name: str) -> dict[bytes, str]:
    """Sequences that Python's codec may lack or have wrong, with their characters."""
    found: dict[bytes, str] = {}
    if name == "big5":  # with the characters of Hong Kong; cp950 has other ones in some places
        trails = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
        for lead in range(0x81, 0xFF):
            pairs = [bytes([lead, trail]) for trail in trails]
            row = b"\n".join(pairs).decode("big5hkscs", "replace").split("\n")
            found |= {
                pair: character
                for pair, character in zip(pairs, row, strict=True)
                if BAD not in character
            }
        # cp950 has these as the standard does, big5hkscs has not.
        for text in _AS_CP950:
            found[text.encode("cp950")] = text
    if name == "euc-jp":  # with the rows of NEC and IBM, which windows-31J has
        for row in (13, *range(89, 93)):
            for cell in range(94):
                sequence = bytes([0xA0 + row, 0xA1 + cell])
                if character := _as_shift_jis(sequence):
                    found[sequence] = character
    for start, characters in CORRECTIONS.get(name, ()):
        first = int(start, 16)
        for number, character in enumerate(characters):
            found[(first + number).to_bytes(len(start) // 2)] = character
    return found


_AS_CP950 = "‧﹑¯～⊕⊙￥￠￡∕﹨"


def _as_shift_jis(sequence: bytes) -> str:
    """The character of JIS X 0208 with two bytes of EUC-JP, by windows-31J; "": there is none."""
    lead, trail = divmod((sequence[0] - 0xA1) * 94 + sequence[1] - 0xA1, 188)
    lead += 0x81 if lead < 0x1F else 0xC1
    trail += 0x40 if trail < 0x3F else 0x41
    try:
        return bytes([lead, trail]).decode("cp932")
    except UnicodeDecodeError:
        return ""


def _two(data: bytes, at: int, exact: Mapping[bytes, str]) -> tuple[str, int]:
    """The next character or U+FFFD, and where to go on: a lead byte and one that may be ASCII."""
    pair = data[at : at + 2]
    if len(pair) == 2 and pair in exact:
        return exact[pair], at + 2
    if not _LEAD[data[at]] or at + 1 == len(data) or data[at + 1] < 0x80:
        return exact.get(data[at : at + 1], BAD), at + 1
    return BAD, at + 2


_LEAD = bytes(0x81 <= byte <= 0xFE for byte in range(256))


def _shift_jis(data: bytes, at: int, exact: Mapping[bytes, str]) -> tuple[str, int]:
    if data[at] == 0xA0 or data[at] > 0xFC:
        return BAD, at + 1
    return _two(data, at, exact)


def _euc_jp(data: bytes, at: int, exact: Mapping[bytes, str]) -> tuple[str, int]:
    lead, rest = data[at], data[at + 1 : at + 3]
    if not (lead in (0x8E, 0x8F) or 0xA1 <= lead <= 0xFE):
        return BAD, at + 1
    if lead == 0x8F and rest and 0xA1 <= rest[0] <= 0xFE:  # JIS X 0212: three bytes
        return BAD, at + (3 if len(rest) == 2 and rest[1] >= 0x80 else 2)
    return _two(data, at, exact)


def _gb18030(data: bytes, at: int, exact: Mapping[bytes, str]) -> tuple[str, int]:
    four = data[at : at + 4]
    if not _LEAD[four[0]] or len(four) == 1 or not 0x30 <= four[1] <= 0x39:
        return _two(data, at, exact)
    if len(four) == 2 or (len(four) == 3 and _LEAD[four[2]]):
        return BAD, len(data)
    if not _LEAD[four[2]] or not 0x30 <= four[3] <= 0x39:
        return BAD, at + 1
    return exact.get(four, BAD), at + 4


_TWO_BYTES: dict[str, Callable[[bytes, int, Mapping[bytes, str]], tuple[str, int]]] = {
    "big5": _two,
    "euc-kr": _two,
    "shift_jis": _shift_jis,
    "euc-jp": _euc_jp,
    "gb18030": _gb18030,
}

_ESCAPES = {b"(B": "ascii", b"(J": "roman", b"(I": "katakana", b"$@": "kanji", b"$B": "kanji"}
_RUNS = {
    "ascii": re.compile(rb"[^\x0e\x0f\x1b\x80-\xff]+"),
    "roman": re.compile(rb"[^\x0e\x0f\x1b\x80-\xff]+"),
    "katakana": re.compile(rb"[\x21-\x5f]+"),
    "kanji": re.compile(rb"(?:[\x21-\x7e]{2})+"),
}
_HIGH = bytes(byte | 0x80 for byte in range(256))


def _iso_2022_jp(data: bytes) -> str:
    found: list[str] = []
    state, at, output = "ascii", 0, False
    while at < len(data):
        if data[at] == 0x1B:
            known = _ESCAPES.get(data[at + 1 : at + 3])
            at += 1
            if known is None:
                found.append(BAD)
                output = False
                continue
            if output:  # two escapes with nothing between them hide something
                found.append(BAD)
            state, at, output = known, at + 2, True
            continue
        output = False
        run = _RUNS[state].match(data, at)
        if run is None:
            # In kanji, half a character goes with what follows, unless that is an escape.
            half = state == "kanji" and 0x21 <= data[at] <= 0x7E
            at += 2 if half and data[at + 1 : at + 2] not in (b"", b"\x1b") else 1
            found.append(BAD)
            continue
        at = run.end()
        if state == "kanji":
            found.append(decode(run[0].translate(_HIGH), "euc-jp"))
        elif state == "katakana":
            found.append("".join(chr(0xFF40 + byte) for byte in run[0]))
        else:
            text = run[0].decode("ascii")
            found.append(text.translate(_ROMAN) if state == "roman" else text)
    return "".join(found)


_ROMAN = {0x5C: "¥", 0x7E: "‾"}
