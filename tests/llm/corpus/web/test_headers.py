"""Doubled header lines, read as standards and user agents read them."""

import pytest

from llm.corpus.web.headers import apart, lines, media_type, only, together


@pytest.mark.parametrize(
    ("said", "name", "charset"),
    [
        # The examples of the Fetch standard, "extract a MIME type".
        ("text/html;charset=gbk, text/html", "text/html", "gbk"),
        ("text/html;charset=gbk;a=b, text/html;x=y", "text/html", "gbk"),
        ("text/html;charset=gbk, x/x, text/html;x=y", "text/html", None),
        ("text/html, cannot-parse", "text/html", None),
        ("text/html, */*", "text/html", None),
        ("text/html, ", "text/html", None),
        ("text/html, text/html; charset=utf-8", "text/html", "utf-8"),
        ("text/html; charset=utf-8, text/html", "text/html", "utf-8"),
        ("text/plain, text/html", "text/html", None),
        ('text/html; x=","; Charset="UTF-8"', "text/html", "UTF-8"),
        ("TEXT/HTML;;charset=utf-8", "text/html", "utf-8"),
        ("text/html charset=utf-8", "text/html", None),
        ("", "", None),
    ],
)
def test_of_several_content_types_the_last_valid_one_counts(
    said: str, name: str, charset: str | None
) -> None:
    assert media_type(said) == (name, charset)


def test_lines_stay_apart() -> None:
    pairs = [("X-A", "1"), ("b", "2, 3"), ("x-a", "4")]
    headers = together(pairs)
    assert sorted(apart(headers)) == [("b", "2, 3"), ("x-a", "1"), ("x-a", "4")]
    assert lines(headers, "x-a") == ("1", "4")
    assert lines(headers, "c") == ()
    assert (only(headers, "x-a"), only(headers, "b"), only(headers, "c")) == ("", "2, 3", "")
    assert only(together([("e", "1"), ("E", "1 ")]), "e") == "1"
