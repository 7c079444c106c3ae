"""Every encoding of the WHATWG Encoding standard, against a decoder that somebody else wrote."""

import hashlib
import random

import pytest

from llm.corpus.reading.encodings import decode, find

# SHA-256, first 16 digits, of what @exodus/bytes 1.16 (npm, MIT; it is tested against the standard's
# own indexes) decodes `sequences` to, as UTF-8.
DIGESTS = {
    "big5": "7ac6884bf6797a35",
    "euc-jp": "f0be474fab41d537",
    "euc-kr": "7ad19e264ef32e26",
    "gb18030": "132ea56aeaf71a0b",
    "gbk": "2d3f11eca873b869",
    "ibm866": "6a5ff083cf3c6f62",
    "iso-2022-jp": "5e5bb4d34f71e8cc",
    "iso-8859-10": "a9c3826d8cd78e5a",
    "iso-8859-13": "5de9947af0511512",
    "iso-8859-14": "edeaf360070a8348",
    "iso-8859-15": "60fe97db4476cdde",
    "iso-8859-16": "5a8ef62ced4c125f",
    "iso-8859-2": "ad0394e35313a160",
    "iso-8859-3": "7f3dfacdeba9db1f",
    "iso-8859-4": "d5720419e7c2b22f",
    "iso-8859-5": "6673cec03d022edf",
    "iso-8859-6": "0b82492b16bfec49",
    "iso-8859-7": "f567c91ea38b5312",
    "iso-8859-8": "f4163ca13b1adbf1",
    "iso-8859-8-i": "f4163ca13b1adbf1",
    "koi8-r": "f2a1315f252a5169",
    "koi8-u": "1c1ed884622fa3dd",
    "macintosh": "70054263e7cfec66",
    "shift_jis": "ae2c4b39b26ab312",
    "utf-16be": "feaca450bececbe8",
    "utf-16le": "0357ccb6838755df",
    "windows-1250": "332d5b784aaeb188",
    "windows-1251": "a2b33f13ee1b83e9",
    "windows-1252": "a0f929f86dd7825d",
    "windows-1253": "c4935d99668dd415",
    "windows-1254": "e28164f51ac18227",
    "windows-1255": "6adeba03d90550ca",
    "windows-1256": "d79c6690f5134cb0",
    "windows-1257": "53a643496d71a21c",
    "windows-1258": "3aa9bdc5446cd015",
    "windows-874": "d10d63dab1a0766a",
    "x-mac-cyrillic": "1030628367f21ecd",
    "x-user-defined": "0081338b3c7575ac",
}


def sequences(name: str) -> bytes:
    """All sequences of two bytes, apart from each other, and the longer ones that there are."""
    pairs = [bytes([first, second]) for first in range(256) for second in range(256)]
    if name == "iso-2022-jp":
        return b"".join(b"\x1b$B" + pair + b"\x1b(B\n" for pair in pairs)
    found = b"".join(pair + b"\n\n" for pair in pairs)
    if name == "euc-jp":
        found += b"".join(b"\x8f" + pair + b"\n" for pair in pairs)
    if name == "gb18030":
        leads, digits = range(0x81, 0xFF), range(0x30, 0x3A)
        found += b"".join(
            bytes([a, b, c, d]) for a in leads for b in digits for c in leads for d in digits
        )
    return found


@pytest.mark.parametrize("name", DIGESTS)
def test_every_sequence_is_what_the_standard_says(name: str) -> None:
    text = decode(sequences(name), name)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


# The standard's table of names and labels: how many labels each encoding has.
LABELS = {
    "big5": 5,
    "euc-jp": 3,
    "euc-kr": 10,
    "gb18030": 1,
    "gbk": 9,
    "ibm866": 4,
    "iso-2022-jp": 2,
    "iso-8859-10": 7,
    "iso-8859-13": 3,
    "iso-8859-14": 3,
    "iso-8859-15": 6,
    "iso-8859-16": 1,
    "iso-8859-2": 9,
    "iso-8859-3": 9,
    "iso-8859-4": 9,
    "iso-8859-5": 8,
    "iso-8859-6": 14,
    "iso-8859-7": 12,
    "iso-8859-8": 11,
    "iso-8859-8-i": 3,
    "koi8-r": 5,
    "koi8-u": 2,
    "macintosh": 4,
    "replacement": 6,
    "shift_jis": 8,
    "utf-16be": 2,
    "utf-16le": 7,
    "utf-8": 6,
    "windows-1250": 3,
    "windows-1251": 3,
    "windows-1252": 17,
    "windows-1253": 3,
    "windows-1254": 12,
    "windows-1255": 3,
    "windows-1256": 3,
    "windows-1257": 3,
    "windows-1258": 3,
    "windows-874": 6,
    "x-mac-cyrillic": 2,
    "x-user-defined": 1,
}


def test_every_label_of_the_standard_is_known() -> None:
    from webencodings.labels import LABELS as known

    counts = {name: list(known.values()).count(name) for name in set(known.values())}
    assert counts == LABELS
    assert sum(counts.values()) == 228
    for label, name in known.items():
        assert find(f"\t\n\f\r {label.upper()} ") == name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("gb2312", "gbk"),
        ("gb_2312-80", "gbk"),
        ("ks_c_5601-1987", "euc-kr"),
        ("windows-949", "euc-kr"),
        ("x-sjis", "shift_jis"),
        ("windows-31j", "shift_jis"),
        ("iso-8859-1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        ("iso-8859-9", "windows-1254"),
        ("tis-620", "windows-874"),
        ("big5-hkscs", "big5"),
        ("unicode", "utf-16le"),
        ("iso-2022-kr", "replacement"),
        ("utf-7", None),
        ("\u212aoi8-r", None),  # the Kelvin sign, which str.lower makes a k
        ("utf\u00a08", None),
        ("", None),
    ],
)
def test_labels_mean_what_they_mean_on_the_web(label: str, name: str | None) -> None:
    assert find(label) == name


# By the standard's decoders: an ASCII byte after a bad lead byte is kept, others go with it.
@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"a\xffb", "gbk", "a\ufffdb"),
        (b"\x81<p>", "gbk", "\ufffd<p>"),
        (b"\x81\xff\xb0\xa1", "gbk", "\ufffd啊"),
        (b"\x80", "gbk", "€"),
        (b"\x810\x81", "gb18030", "\ufffd"),
        (b"\x810\x81<", "gb18030", "\ufffd0\ufffd<"),
        (b"\x810<", "gb18030", "\ufffd0<"),
        (b"\xe3\x32\x9a\x36", "gb18030", "\ufffd"),
        (b"\x81", "big5", "\ufffd"),
        (b"\x88\x62\x88\x64", "big5", "\u00ca\u0304\u00ca\u030c"),
        (b"\x8e\x8f\xa4\xa2", "euc-jp", "\ufffdあ"),
        (b"\x8f\xa2\xb7~\x8f\xf4<", "euc-jp", "～~\ufffd<"),
        (b"\xad\xa1\xfc\xe2", "euc-jp", "①髙"),
        (b"\x87\x40\xfb\xfc\x81<", "shift_jis", "①髙\ufffd<"),
        (b"\x8c\x63", "euc-kr", "똠"),
        (b'\x1b$B$"\x1b(B\x1b(B', "iso-2022-jp", "あ\ufffd"),
        (b"\x1b$B$\x1b(Ba\x1bx", "iso-2022-jp", "\ufffda\ufffdx"),
        (b"\x1b(J\\~\x1b(I1", "iso-2022-jp", "¥‾ｱ"),
        (b"\x00\xd8a\x00b", "utf-16le", "\ufffda\ufffd"),
        (b"abc", "replacement", "\ufffd"),
        (b"", "replacement", ""),
        (b"\xf0\x9f\x98a", "utf-8", "\ufffda"),
        (b"\x80\xff", "x-user-defined", "\uf780\uf7ff"),
    ],
)
def test_one_bad_sequence_costs_one_character(data: bytes, name: str, text: str) -> None:
    assert decode(data, name) == text


@pytest.mark.parametrize("name", ["gbk", "big5", "euc-kr", "euc-jp", "shift_jis", "iso-2022-jp"])
def test_what_lies_between_bad_bytes_is_as_it_would_be_alone(name: str) -> None:
    """Line ends are in no sequence: each line is decoded as if it were all."""
    chance = random.Random(name)
    lines = [
        bytes(chance.choice((0x1B, 0x24, 0x42, 0x8F, 0x81, 0xA4, 0xFF, 0x7E)) for _ in range(9))
        for _ in range(500)
    ]
    if name == "iso-2022-jp":  # whose state goes on
        lines = [line.replace(b"\x1b", b"") for line in lines]
    assert decode(b"\n".join(lines), name) == "\n".join(decode(line, name) for line in lines)
