"""Which encoding a page is read in: marks, what is declared, UTF-8, and detection."""

import zipfile
from pathlib import Path

import pytest

from llm.corpus.reading.charset import meta_charset, read

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. "


# By the prescan of the HTML standard (13.2.3.2).
@pytest.mark.parametrize(
    ("html", "name"),
    [
        ("<meta charset=gbk>", "gbk"),
        ('<meta charset = "GB2312"/>', "gbk"),
        ("<META http-equiv='Content-Type' content='text/html; charset=x-sjis'>", "shift_jis"),
        ("<meta content='text/html; charset=\"euc-jp\"' http-equiv=content-type>", "euc-jp"),
        ("<!-- <meta charset=gbk> --><meta charset=koi8-r>", "koi8-r"),
        ("<a title='<meta charset=gbk>'><meta charset=big5>", "big5"),
        ("<p title=it's><meta charset=gbk>", "gbk"),
        ('<meta name=x content="charset=gbk"><meta charset=euc-kr>', "euc-kr"),
        ("<meta charset=nonsense><meta charset=latin1>", "windows-1252"),
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=x-user-defined>", "windows-1252"),
        ("<metacharset=gbk>", None),
        ("<p>charset=gbk", None),
    ],
)
def test_a_page_names_its_encoding(html: str, name: str | None) -> None:
    assert meta_charset(html.encode()) == name


@pytest.mark.parametrize(
    "html", ["<meta ", "<meta charset='", "<!--", "<a x='", "<a = ", "charset="]
)
def test_a_head_that_never_ends_names_nothing(html: str) -> None:
    assert meta_charset(html.encode() * 5000) is None


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gbk", "朱镕基说，这是一个很长的句子。"),
        ("euc-kr", "cp949", "똠방각하와 펲시콜라"),
        ("ks_c_5601-1987", "cp949", "찦차를 타고 온 펲시맨"),
        ("shift_jis", "cp932", "①から⑳まで、髙島屋㈱です。"),
        ("iso-8859-1", "cp1252", "“Quoted” – for 5 €"),
        ("tis-620", "cp874", "ราคา 5 € “ดี”"),
        ("big5", "big5hkscs", "佢哋喺度嘅嘢啲"),
        ("windows-1251", "cp1251", RUSSIAN),
    ],
)
@pytest.mark.parametrize("where", ["http", "meta"])
def test_labels_mean_the_supersets_that_browsers_take(
    label: str, codec: str, text: str, where: str
) -> None:
    html = f"<meta charset={label}>{text}" if where == "meta" else text
    assert read(html.encode(codec), label if where == "http" else None).text == html


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("gb2312", "这是一个用来测试网页编码的中文句子"),
        ("euc-jp", "これは文字コードを試すための文です"),
        ("big5", "這是一個用來測試網頁編碼的中文句子"),
        ("euc-kr", "이것은 웹 페이지의 인코딩을 시험하기 위한 문장입니다"),
        ("shift_jis", "これは文字コードを試すための文です"),
        ("utf-8", "Это предложение"),
    ],
)
@pytest.mark.parametrize("where", ["http", "meta"])
def test_a_bad_byte_and_a_cut_cost_one_character_each(label: str, text: str, where: str) -> None:
    start = f"<meta charset={label}>" if where == "meta" else ""
    data = f"{start}{text}.".encode(label) + b"\xff" + f".{text}".encode(label)[:-1]
    found = read(data, label if where == "http" else None).text
    assert found == f"{start}{text}.\ufffd.{text[:-1]}\ufffd"


def test_a_byte_order_mark_goes_before_all_that_is_declared() -> None:
    html = f"<meta charset=gbk>{RUSSIAN}"
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        assert read(html.encode(codec), "windows-1251").text == html
    assert read(b"\xfe\xff" + html.encode("utf-16-be"), "gbk") == (html, "utf-16be")


def test_utf8_is_told_by_its_bytes_whatever_is_declared() -> None:
    for declared in ("windows-1251", "iso-8859-1", "gbk", "shift_jis", "utf-16"):
        assert read(RUSSIAN.encode(), declared).text == RUSSIAN
    # Few bytes that could be either are what is declared, unless that gives no text at all.
    assert read("模模".encode("gbk"), "gbk").text == "模模"
    assert read("It’s a café".encode(), "iso-8859-1").text == "It’s a café"


@pytest.mark.parametrize("declared", ["gb2312", "windows-1251", "euc-kr"])
def test_utf8_with_a_stray_byte_is_told_too(declared: str) -> None:
    text = "这是一个关于桥梁建设的长篇文章，介绍了石匠的工艺。" * 2
    data = text.encode()
    assert read(data[:30] + b"\xff" + data[30:], declared).text.replace("\ufffd", "") == text
    assert read(data[:-1], declared).text.rstrip("\ufffd") == text[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "Le café est fermé à midi.",
        "Déjà vu à Noël",
        "Où est l\u2019hôtel où nous étions allés l\u2019été dernier ?",
        "La città è più bella perché c\u2019è il mare",
        "It\u2019s 5€ only",
    ],
)
def test_few_words_of_a_western_language_are_no_other_script(text: str) -> None:
    page = f"<html><head><title>{text}</title></head><body><p>{text}</p></body></html>"
    assert read(page.encode("windows-1252"), None).text == page


@pytest.mark.parametrize("encoding", ["windows-1251", "koi8-r"])
def test_few_words_of_another_script_stay_what_they_are(encoding: str) -> None:
    page = "<title>Привет, мир</title>"
    assert read(page.encode(encoding), None).text == page


def test_a_quoted_charset_of_a_header_is_read() -> None:
    assert read(RUSSIAN.encode("koi8-r"), ' "KOI8-R" ') == (RUSSIAN, "koi8-r")


def test_what_xml_declares_is_read() -> None:
    xml = f"<?xml version='1.0' encoding='koi8-r'?><html><p>{RUSSIAN}</p></html>"
    assert read(xml.encode("koi8-r"), None).text == xml
    xml = "<?xml version='1.0' encoding='Shift_JIS'?><p>①〜②、髙島屋"
    assert read(xml.encode("cp932", "replace"), None).encoding == "shift_jis"


# Of the kinds that chardet's own test files have. The texts are the Declaration of Human Rights.
UNDECLARED = {
    "rus": ("windows-1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic", "cp855"),
    "ell_monotonic": ("iso8859-7",),
    "heb": ("cp1255",),
    "arb": ("cp1256",),
    "tha": ("tis-620",),
    "jpn": ("shift_jis", "euc-jp", "iso-2022-jp"),
    "cmn_hans": ("gb18030",),
    "cmn_hant": ("big5",),
    "kor": ("euc-kr", "johab"),
    "ces": ("iso8859-2", "cp1250"),
    "fra": ("cp1252",),
    "tur": ("iso8859-9",),
}


@pytest.mark.real_data
@pytest.mark.parametrize("language", UNDECLARED)
@pytest.mark.parametrize("markup", [False, True])
def test_undeclared_encodings_are_detected(
    language: str, markup: bool, declarations: dict[str, str]
) -> None:
    for codec in UNDECLARED[language]:
        lines = declarations[language].encode(codec, "ignore").decode(codec).splitlines()[10:60]
        text = "\n".join(
            f"<div class=item><p>{line}</p></div>" if markup else line for line in lines
        )
        assert read(text.encode(codec), None).text == text, codec


@pytest.fixture
def declarations(shared_data: Path) -> dict[str, str]:
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        return {each: archive.read(names[each]).decode() for each in UNDECLARED}
