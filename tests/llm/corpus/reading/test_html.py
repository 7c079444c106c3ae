"""From bytes to text: encodings, both extractors, tidying."""

import codecs
import re
from collections import Counter
from pathlib import Path

import pytest

from llm.corpus.extract import extract_text
from llm.corpus.reading.html import Unreadable, decode, read_html, tidy

PAGE = """<!DOCTYPE html><html><head><title>os.path - docs</title>
<style>p { color: red }</style><script>var hidden = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/modules">All modules</a></li></ul></nav>
<main><h1>os.path — Common pathname manipulations</h1>
<p>This module implements some useful functions on pathnames. To read or write files see
open(), and for accessing the filesystem see the os module.</p>
<p>The path parameters can be passed as strings, or bytes, or any object implementing the
os.PathLike protocol.</p>
<h2>Functions</h2>
<dl><dt><code>join(path, *paths)</code></dt>
<dd><p>Join one or more path segments intelligently. The return value is the concatenation of
path and all members of paths.</p>
<pre>&gt;&gt;&gt; join("a", "b")
'a/b'
    indented</pre></dd>
<dt><code>split(path)</code></dt>
<dd>Split the pathname path into a pair, (head, tail) where tail is the last component.</dd></dl>
</main>
<footer>Copyright 2024 Nobody. <a href="/imprint">Imprint</a></footer></body></html>"""


def test_a_page_becomes_paragraphs_without_its_navigation() -> None:
    text = extract_text(PAGE, "http://docs.test/os.path")
    paragraphs = text.split("\n\n")
    assert paragraphs[0] == "os.path — Common pathname manipulations"
    assert paragraphs[1].startswith("This module implements")
    assert paragraphs[1].endswith("see the os module.")
    for noise in ("Home", "All modules", "Copyright", "hidden", "color", "<"):
        assert noise not in text.replace("<module", "")


def test_code_keeps_its_lines_and_definitions_are_apart() -> None:
    text = extract_text(PAGE, "http://docs.test/os.path")
    assert '>>> join("a", "b")\n\'a/b\'\n    indented' in text
    lines = text.split("\n")
    assert "join(path, *paths)" in lines
    assert "split(path)" in lines


@pytest.mark.parametrize("engine", ["auto", "blocks", "resiliparse", "trafilatura"])
def test_every_engine_reads_the_page(engine: str) -> None:
    text = extract_text(PAGE, "http://docs.test/", engine)  # type: ignore[arg-type]
    assert "Join one or more path segments intelligently." in text
    assert "split(path)" in text
    assert "Imprint" not in text


def test_the_doubtful_are_read_again_and_the_engine_is_named() -> None:
    good = "<p>" + "A sentence that is long enough to count as content here. " * 20 + "</p>"
    html = f"<html><body><main>{good}</main></body></html>"
    for engine in ("blocks", "resiliparse", "trafilatura"):
        assert read_html(html, "", engine)[1] == engine  # type: ignore[arg-type]
    assert read_html(html, "", "auto")[1] == "blocks"
    two = f"<html><body><article>{good}</article><div>{good.replace('long', 'plain')}</div></body></html>"
    assert read_html(two, "", "auto")[1] == "trafilatura"


@pytest.mark.parametrize("html", ["", " ", "<html></html>", "<body><script>x</script></body>"])
def test_a_page_without_text_is_unreadable(html: str) -> None:
    with pytest.raises(Unreadable, match="no_text"):
        extract_text(html, "")


@pytest.mark.real_data
def test_the_reference_extraction_is_reproduced(shared_data: Path) -> None:
    folder = shared_data / "clean/near_and_line_duplicates"
    html = (folder / "moby.html").read_text()
    # The reference has the page's keywords at its end, which are not text of the page.
    expected = (folder / "moby_extracted.txt").read_text().partition("\n\n  • ")[0]
    assert extract_text(html, "http://dummy.test/moby") == expected


@pytest.mark.real_data
def test_the_engines_agree_on_real_pages(shared_data: Path) -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    scores = []
    for name in ("sample-0000", "sample-0001"):
        with (shared_data / f"crawl/common_crawl/{name}.warc.gz").open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                page, url = record.reader.read(), record.headers["WARC-Target-URI"]
                scores.append(
                    f1(extract_text(page, url, "auto"), extract_text(page, url, "trafilatura"))
                )
    assert len(scores) == 22 + 15
    # Of trafilatura's tokens and ours; the pages are shops and listings, where tastes differ.
    assert sum(scores) / len(scores) > 0.8


def f1(a: str, b: str) -> float:
    ours, theirs = (Counter(re.findall(r"\w+", text)) for text in (a, b))
    shared = sum((ours & theirs).values())
    return 2 * shared / max(1, sum(ours.values()) + sum(theirs.values()))


TEXT = "Größe: naïve café — “quoted” 5 €. Ein längerer Satz, damit die Erkennung etwas hat."


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (TEXT.encode(), None),
        (TEXT.encode(), "iso-8859-1"),  # wrongly declared, as many servers do
        (TEXT.encode("cp1252"), "windows-1252"),
        (TEXT.encode("cp1252"), None),
        (TEXT.encode("cp1252"), "no-such-charset"),
        (codecs.BOM_UTF8 + TEXT.encode(), None),
        (TEXT.encode("utf-16"), None),
        (TEXT.encode("utf-16"), "utf-8"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), None),
    ],
)
def test_bytes_are_decoded_whatever_is_declared(data: bytes, declared: str | None) -> None:
    assert decode(data, declared) == TEXT


def test_a_page_says_its_own_charset() -> None:
    text = "Съешь же ещё этих мягких французских булок, да выпей чаю."
    html = f'<html><head><meta charset="windows-1251"></head><body><p>{text}</p></body></html>'
    assert text in extract_text(html.encode("windows-1251"), "")


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "koi8-r", "euc-kr"])
def test_declared_charsets_of_the_world_are_read(encoding: str) -> None:
    text = {
        "shift_jis": "日本語の文章です。",
        "gb18030": "这是中文的句子。",
        "koi8-r": "Это предложение.",
        "euc-kr": "한국어 문장입니다.",
    }[encoding]
    assert decode(text.encode(encoding), encoding) == text


def test_any_bytes_are_decoded_to_something() -> None:
    for data in (b"", b"\xff\xfe", b"\xff\xfe\x00", bytes(range(256)), b"\xc3\x28" * 100):
        assert decode(data, None).encode().decode() == decode(data, None)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\u00a0b\u2009c", "a b c"),
        ("one  \n\n\n\n two\t\n", "one\n\n two"),
        ("    indented\n  less", "    indented\n  less"),
        ("so\u00adft ze\u200bro \ufeffmark \x00nul\x1b", "soft zero mark nul"),
        ("e\u0301", "é"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),  # a joiner that carries meaning
    ],
)
def test_text_is_tidied(text: str, clean: str) -> None:
    assert tidy(text) == clean
    assert tidy(clean) == clean


JAPANESE = "<html><body><p>日本語の文章です。これは試験のための頁です。</p></body></html>"


def test_seven_bit_encodings_are_told_by_their_escapes_or_name() -> None:
    for declared in (None, "utf-8", "iso-2022-jp"):
        assert decode(JAPANESE.encode("iso2022_jp"), declared) == JAPANESE
    korean = "한국어 문장입니다"
    assert decode(korean.encode("iso2022_kr"), None) == korean
    assert decode("汉字和文字".encode("hz"), "hz-gb-2312") == "汉字和文字"
    assert decode(b"plain", "iso-2022-nonsense") == "plain"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_by_its_zeros(codec: str) -> None:
    html = f'<meta charset="utf-16">{JAPANESE}'
    assert decode(html.encode(codec), None) == html
    for binary in (bytes(range(256)) * 20, b"\0\1\2\3" * 50):
        assert "\0" in decode(binary, None)


TEXTS = {
    "windows-1251": "Это предложение написано по-русски, чтобы проверить кодировку страницы. " * 4,
    "koi8-r": "Это предложение написано по-русски, чтобы проверить кодировку страницы. " * 4,
    "gbk": "这是一个用来测试网页编码的中文句子，里面有很多常用的汉字和标点符号。" * 4,
    "euc-kr": "이것은 웹 페이지의 인코딩을 시험하기 위한 한국어 문장입니다. " * 4,
    "big5": "這是一個用來測試網頁編碼的中文句子，裡面有很多常用的漢字和標點符號。" * 4,
    "tis-620": "ประโยคนี้เขียนเป็นภาษาไทยเพื่อทดสอบการเข้ารหัสของหน้าเว็บ " * 4,
}


@pytest.mark.parametrize("codec", TEXTS)
@pytest.mark.parametrize("declared", ["utf-8", "ISO-8859-1"])
def test_what_the_page_says_goes_before_what_servers_say_of_all(codec: str, declared: str) -> None:
    html = f'<html><head><meta charset="{codec}"></head><p>{TEXTS[codec]}</p></html>'
    assert decode(html.encode(codec), declared) == html


@pytest.mark.parametrize("codec", ["windows-1251", "koi8-r", "gbk", "euc-kr", "big5"])
def test_text_that_is_wrongly_declared_as_utf8_is_detected(codec: str) -> None:
    html = f'<meta charset="utf-8"><p>{TEXTS[codec]}</p>'
    assert decode(html.encode(codec), "utf-8") == html


def test_utf8_that_was_cut_stays_utf8() -> None:
    for declared in (None, "utf-8"):
        assert decode(JAPANESE.encode()[:45], declared).startswith(JAPANESE[:24])
        assert decode(("é" * 40).encode()[:-1], declared) == "é" * 39 + "\ufffd"
