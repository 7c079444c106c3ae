"""Queries in a page's encoding, against an encoder that somebody else wrote."""

import hashlib
from urllib.parse import unquote_to_bytes

import pytest

from llm.corpus.reading.encode import escape_query

# SHA-256, first 16 digits, of what percentEncodeAfterEncoding of @exodus/bytes 1.16 (npm, MIT) makes
# of CHARACTERS, with its escapes undone. The two that ISO-2022-JP has in a set of its own are left out.
CHARACTERS = "".join(
    f"{chr(code)},"
    for code in range(0x80, 0x10000)
    if not 0xD800 <= code < 0xE000 and code not in (0xA5, 0x203E)
)
DIGESTS = {
    "big5": "413f975abf906fb4",
    "euc-jp": "66475281687ec96e",
    "euc-kr": "7798c095f778a834",
    "gb18030": "52f0afbec2ab971e",
    "gbk": "91ad4f4e641c8dd7",
    "ibm866": "67544926bc34d30f",
    "iso-2022-jp": "90f2a9760c2754cb",
    "iso-8859-10": "ddbebb56e02ae4b0",
    "iso-8859-13": "27ffb5904e22bdfa",
    "iso-8859-14": "d7257ce43aeecc58",
    "iso-8859-15": "465e512568d30431",
    "iso-8859-16": "dbe03c3d7a9cd88d",
    "iso-8859-2": "96749d34305898c9",
    "iso-8859-3": "05be18e228665691",
    "iso-8859-4": "858e7a5618ecc1d5",
    "iso-8859-5": "d07398eda2d52528",
    "iso-8859-6": "6bdd0147df5d2a36",
    "iso-8859-7": "3ce67573bf129140",
    "iso-8859-8": "35a7c62280af623f",
    "iso-8859-8-i": "35a7c62280af623f",
    "koi8-r": "4554fec1e88ba770",
    "koi8-u": "d533a42fdc577d21",
    "macintosh": "e92f8228f820bf71",
    "shift_jis": "04b993134f9f5121",
    "windows-1250": "86fbc64deea5088c",
    "windows-1251": "7f940e5e87091795",
    "windows-1252": "944e98d6433a656d",
    "windows-1253": "75dd1a9210fca040",
    "windows-1254": "aac76c6a3b66619f",
    "windows-1255": "552160a5e622ac5f",
    "windows-1256": "6b842422f82c4fe4",
    "windows-1257": "c5445eec46a50eb6",
    "windows-1258": "99b769ae5d6105be",
    "windows-874": "e4111583df673062",
    "x-mac-cyrillic": "ba125755852102f3",
    "x-user-defined": "b37be691303a677c",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_every_character_has_the_bytes_that_the_standard_gives_it(name: str) -> None:
    found = unquote_to_bytes(escape_query(CHARACTERS, name))
    assert hashlib.sha256(found).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize(
    ("query", "name", "escaped"),
    [
        # The examples of https://url.spec.whatwg.org/#string-percent-encode-after-encoding
        ("≡", "shift_jis", "%81%DF"),
        ("‽", "shift_jis", "%26%238253%3B"),
        ("a=1&b=да", "windows-1251", "a=1&b=%E4%E0"),
        ("q=ö", "utf-8", "q=ö"),
        ("q=ö", "utf-16le", "q=ö"),
        ("q=ö", "replacement", "q=ö"),
        ("q=😀", "gb18030", "q=%949%FC6"),
        ("q=😀", "gbk", "q=%26%23128512%3B"),
        ("¥", "iso-2022-jp", "%1B%28J%5C%1B%28B"),
    ],
)
def test_queries_are_escaped_as_browsers_do_it(query: str, name: str, escaped: str) -> None:
    assert escape_query(query, name) == escaped
