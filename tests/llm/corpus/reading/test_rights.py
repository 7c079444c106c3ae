"""Licences and opt-outs: what pages and their headers say in the ways that standards give."""

import pytest

from llm.corpus.reading.rights import rights

BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("html", "licence"),
    [
        (f'<link rel="license" href="{BY}">', BY),
        (f"<a class=x href='{BY}' rel='nofollow license'>CC BY</a>", BY),
        (f"<A HREF={BY} REL=license>", BY),
        ('<link rel="license" href="/terms?a=1&amp;b=2">', "/terms?a=1&b=2"),
        ('<meta name="dcterms.license" content="CC0">', "CC0"),
        (f'<script type="application/ld+json">{{"license": "{BY}"}}</script>', BY),
        ('"license":"https:\\/\\/creativecommons.org\\/licenses\\/by\\/4.0\\/"', BY),
        (f'<p>Text under <a href="{BY}">CC BY</a></p>', BY),
        # Two licences without rel: one of a picture, which is which nobody knows.
        (
            f'<a href="{BY}">x</a><a href="https://creativecommons.org/licenses/by-sa/3.0/">y</a>',
            "",
        ),
        (f'<!-- <link rel="license" href="{BY}"> -->', ""),
        ('<a href="/license.html">License</a>', ""),
        ("<p>no word of it</p>", ""),
    ],
)
def test_licences_are_found_where_pages_put_them(html: str, licence: str) -> None:
    assert rights(html).licence == licence


@pytest.mark.parametrize(
    ("html", "headers", "words"),
    [
        ('<meta name="robots" content="noindex, nofollow">', {}, "nofollow noindex"),
        ('<META CONTENT="NOAI, NoImageAI" NAME="ROBOTS">', {}, "noai noimageai"),
        ('<meta name="robots" content="index, follow, max-snippet:-1">', {}, ""),
        ('<meta name="tdm-reservation" content="1">', {}, "tdm"),
        ('<meta name="tdm-reservation" content="0">', {}, ""),
        ('<meta name="GPTBot" content="noindex">', {}, "noai"),
        ('<meta name="bingbot" content="noindex">', {}, ""),
        ("", {"X-Robots-Tag": "noarchive, noai"}, "noai noarchive"),
        ("", {"X-Robots-Tag": "otherbot: noindex, nofollow"}, ""),
        ("", {"X-Robots-Tag": "ccbot: noindex"}, "noai"),
        ("", {"X-Robots-Tag": "unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"}, "noindex"),
        ("", {"TDM-Reservation": "1"}, "tdm"),
        ('<meta name="robots" content="noai">', {"tdm-reservation": "1"}, "noai tdm"),
    ],
)
def test_opt_outs_are_words_sorted(html: str, headers: dict[str, str], words: str) -> None:
    assert rights(html, headers).opt_out == words


def test_the_header_names_a_licence() -> None:
    assert rights("", {"Link": f'</a>; rel="next", <{BY}>; rel="license"'}).licence == BY


def test_a_page_of_noise_takes_no_time() -> None:
    hostile = "<meta " * 20_000 + "<a license " * 20_000 + "'" * 20_000
    assert rights(hostile).licence == ""
