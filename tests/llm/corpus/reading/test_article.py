"""The fast reader against pages whose text is known, beside trafilatura on the same pages."""

import json
import statistics
from collections.abc import Callable

import pytest
import trafilatura

from benchmarks.extraction import built_in, ours, peer, prose, sentences, token_scores
from benchmarks.extraction_pages import LAYOUTS, Article, Filler, articles, pages
from llm.corpus.reading import article, blocks, names, noise
from llm.corpus.reading.article import read_article
from llm.corpus.reading.html import tidy
from tests.growth import work

PARAGRAPHS = prose()
SENTENCES = sentences(PARAGRAPHS[len(PARAGRAPHS) // 2 :])
PAGES = pages(PARAGRAPHS[: len(PARAGRAPHS) // 2], SENTENCES, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_article(layout: str) -> None:
    found = [
        token_scores(tidy(read_article(html).text), text)
        for name, html, text in PAGES
        if name == layout
    ]
    precision, recall, f1 = (statistics.fmean(column) for column in zip(*found, strict=True))
    floor = 0.8 if layout == "div_soup" else 0.92  # portals without paragraphs: trafilatura's 0.88
    assert precision > floor
    assert recall > 0.95
    assert f1 > floor


def test_the_mean_is_no_worse_than_trafilaturas() -> None:
    mine, theirs = [], []
    for _, html, text in PAGES:
        mine.append(token_scores(tidy(read_article(html).text), text)[2])
        theirs.append(
            token_scores(trafilatura.extract(html, include_comments=False) or "", text)[2]
        )
    assert statistics.fmean(mine) > statistics.fmean(theirs) - 0.01
    assert statistics.fmean(mine) > 0.96


def test_pages_of_documentation_lose_nothing() -> None:
    found = built_in(40)
    mine = statistics.fmean(token_scores(ours(page)[0], page.text or "")[2] for page in found)
    theirs = statistics.fmean(token_scores(peer(page)[0], page.text or "")[2] for page in found)
    assert mine > max(theirs - 0.01, 0.97)


def wrapped(article: str, outside: str = "", head: str = "") -> str:
    return f"<html><head>{head}</head><body>{article}{outside}</body></html>"


TEXT = [text for text in PARAGRAPHS if len(text) > 200][:6]
BODY = "".join(f"<p>{text}</p>" for text in TEXT)


@pytest.mark.parametrize(
    "noise",
    [
        '<div class="share-buttons"><a href="#">Facebook</a> <a href="#">Twitter</a></div>',
        "<p>Share this on Facebook</p>",
        "<p>Advertisement</p>",
        "<p>Read more: The ten best things that you have never seen</p>",
        "<p>Lesen Sie auch: Was sonst noch geschah</p>",
        "<p>© 2020 Somebody. All rights reserved.</p>",
        '<ul><li><a href="/1">One other story</a></li><li><a href="/2">And another</a></li></ul>',
        "<aside><p>" + SENTENCES[0] + "</p></aside>",
        "<figure><img><figcaption>" + SENTENCES[1] + "</figcaption></figure>",
        '<p style="display: none">' + SENTENCES[2] + "</p>",
        '<div class="newsletter-signup"><p>' + SENTENCES[3] + "</p></div>",
        '<section id="comments"><p>' + " ".join(SENTENCES[4:9]) + "</p></section>",
        "<form><label>Your name</label><input></form>",
    ],
)
def test_trimmings_inside_the_text_go(noise: str) -> None:
    paragraphs = [f"<p>{text}</p>" for text in TEXT]
    html = wrapped("<div>" + "".join([*paragraphs[:3], noise, *paragraphs[3:]]) + "</div>")
    assert read_article(html).text.split("\n\n") == TEXT


def test_what_the_page_declares_as_its_text_decides() -> None:
    declared = f"<script>{json.dumps({'articleBody': ' '.join(TEXT)})}</script>"
    teaser = f"<p>{PARAGRAPHS[-1]}</p>"
    html = wrapped(f"<div>{teaser}{BODY}{teaser}</div>", head=declared)
    reading = read_article(html)
    assert reading.text.split("\n\n") == TEXT
    assert not reading.doubtful


def test_a_reader_that_finds_less_than_the_page_declares_doubts_itself() -> None:
    text = "Much more text than there is. " * 200
    declared = f"<script>{json.dumps({'articleBody': text})}</script>"
    assert read_article(wrapped(BODY, head=declared)).doubtful


def test_a_title_is_text_of_a_manual_and_none_of_an_article() -> None:
    body = f"<main><h1>The title</h1>{BODY}</main>"
    assert read_article(wrapped(body)).text.startswith("The title\n\n")
    head = '<meta property="og:type" content="article">'
    assert read_article(wrapped(body, head=head)).text.startswith(TEXT[0])


def test_lists_rows_and_code_keep_their_lines() -> None:
    html = wrapped(
        f"<main>{BODY}<ul><li>first of them</li><li>second of them</li></ul>"
        "<table><tr><th>name</th><th>size</th></tr><tr><td>a</td><td>1</td></tr></table>"
        f"<pre>def f():\n    return 1\n</pre>{BODY.replace('The', 'A')}</main>"
    )
    text = read_article(html).text
    assert "- first of them\n- second of them" in text
    assert "name\tsize\na\t1" in text
    assert "\n\ndef f():\n    return 1\n\n" in text


def test_names_that_only_sound_like_trimmings_hide_no_text() -> None:
    for words in ("post tag-share category-author", "has-sidebar", "author-admin", "widget"):
        html = wrapped(f'<div class="{words}">{BODY}</div>')
        assert read_article(html).text.split("\n\n") == TEXT, words


def test_depth_and_size_cost_no_more_than_their_share() -> None:
    hostile: list[Callable[[int], str]] = [
        lambda size: "<div>" * size + "deep",
        lambda size: "<b>" * size + "deep",
        lambda size: "<div class=related>" * size + "x",
        lambda size: '<script>"articleBody": "' + "\\" * size,
        lambda size: "<p>" + "a. " * size,
        lambda size: "<br>" * size,
    ]
    for number, page in enumerate(hostile):
        small, large = (
            work(read_article, page(size), (article, blocks, names, noise)) for size in (250, 1000)
        )
        # 4 times the page; a quadratic pass would do 16 times the work.
        assert large <= 6 * small, number


def test_articles_are_made_the_same_each_time() -> None:
    again = articles(PARAGRAPHS, 3, 1)
    assert again == articles(PARAGRAPHS, 3, 1)
    assert isinstance(again[0], Article)
    assert Filler(SENTENCES, 1).text(2, 3) == Filler(SENTENCES, 1).text(2, 3)
