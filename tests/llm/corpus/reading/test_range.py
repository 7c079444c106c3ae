"""Main text that is not all below one element, and what stands beside it."""

import pytest

from llm.corpus.reading.article import read_article
from llm.corpus.reading.html import is_better
from tests.llm.corpus.reading.test_article import SENTENCES, TEXT, wrapped

LINKS = "".join(f'<li><a href="/{n}">{text[:40]}</a></li>' for n, text in enumerate(SENTENCES[:9]))
OUTSIDE = f"<nav><ul>{LINKS}</ul></nav>"
ARTICLE = '<meta property="og:type" content="article">'


def paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


def test_an_article_in_several_bodies_is_one() -> None:
    bodies = "".join(
        f'<div class="text-block"><div class="article-body">{paragraphs([text])}</div></div><div><img></div>'
        for text in TEXT
    )
    html = wrapped(f"{OUTSIDE}<main>{bodies}</main>", head=ARTICLE)
    assert read_article(html).text.split("\n\n") == TEXT


def test_an_introduction_beside_the_body_is_text() -> None:
    lead = "What the council decided last night, and what it means for those who live by the river."
    html = wrapped(
        f'{OUTSIDE}<div class="head"><h1>The title</h1><p class="lead">{lead}</p><p>By Jane Roe</p></div>'
        f'<div><div class="article-body">{paragraphs(TEXT)}</div></div>',
        head=ARTICLE,
    )
    assert read_article(html).text.split("\n\n") == [lead, *TEXT]


def test_the_date_below_a_title_is_no_introduction() -> None:
    html = wrapped(
        f"{OUTSIDE}<div><h1>The title</h1><p>November 28, 2013, updated at 02:03 in the morning (GMT)</p>"
        f'<div class="article-body">{paragraphs(TEXT)}</div></div>',
        head=ARTICLE,
    )
    assert read_article(html).text.split("\n\n") == TEXT


def test_ingredients_beside_the_steps_are_text() -> None:
    ingredients = [f"{n} spoons of the {n}th kind of flour" for n in range(2, 14)]
    items = "".join(f"<li>{each}</li>" for each in ingredients)
    html = wrapped(
        f'{OUTSIDE}<div class="recipe"><div class="left"><h2>Ingredients</h2><ul>{items}</ul></div>'
        f'<div class="right"><h2>Method</h2><div class="entry-content">{paragraphs(TEXT)}</div></div></div>'
    )
    found = read_article(html).text
    assert all(each in found for each in [*ingredients, *TEXT])


def test_a_question_stands_above_its_answers() -> None:
    posts = "".join(
        f'<div class="row"><div class="user">user{n}</div><div class="post-body">{paragraphs([text])}</div></div>'
        for n, text in enumerate(TEXT)
    )
    found = read_article(wrapped(f"{OUTSIDE}<h1>Why is it so?</h1>{posts}")).text
    assert all(text in found for text in TEXT)


def test_teasers_of_the_same_make_are_no_bodies() -> None:
    teasers = "".join(
        f'<div class="entry-content"><h3><a href="/{n}">{text[:40]}</a></h3><p>{text}</p></div>'
        for n, text in enumerate(SENTENCES[:3])
    )
    html = wrapped(
        f'<div class="entry-content">{paragraphs(TEXT)}</div><h2>Related articles</h2>{teasers}',
        head=ARTICLE,
    )
    assert read_article(html).text.split("\n\n") == TEXT


def test_a_list_of_links_is_no_better_second_opinion() -> None:
    menu = "\n".join(["Home", "News", "Sport", "Weather", "Contact"] * 40)
    assert not is_better(menu, TEXT[0])
    assert is_better("\n".join(TEXT), TEXT[0])
    assert not is_better(TEXT[0][:90], "\n".join(TEXT))


def test_a_list_of_links_that_a_sentence_promises_is_text() -> None:
    links = "".join(f'<li><a href="/{n}">The {n}th bridge</a></li>' for n in range(5))
    body = (
        f"<p>{TEXT[0]}</p><p>The bridges of the town are these:</p><ul>{links}</ul><p>{TEXT[1]}</p>"
    )
    assert "these:\n\n- The 0th bridge\n- The 1th bridge" in read_article(wrapped(body)).text
    menu = wrapped(body.replace("are these:", "are many."))
    assert "0th bridge" not in read_article(menu).text


def test_a_heading_above_a_picture_stays() -> None:
    figure = "<figure><img><figcaption>The old bridge.</figcaption></figure>"
    html = wrapped(f"<p>{TEXT[0]}</p><h2>Later</h2>{figure}<h3>In stone</h3><p>{TEXT[1]}</p>")
    assert read_article(html).text == f"{TEXT[0]}\n\nLater\n\nIn stone\n\n{TEXT[1]}"


def test_what_lies_round_the_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def counted(text: str) -> bool:
        nonlocal asked
        asked += 1
        return False

    monkeypatch.setattr("llm.corpus.reading.main_part.is_trimming", counted)
    around = "<div>" + "<p>some words</p>" * 20
    html = wrapped(
        f'{around * 60}<div class="entry-content">{paragraphs(TEXT)}</div>{"</div>" * 60}'
    )
    read_article(html)
    assert asked < 3 * 60 * 20  # not once for each of the sixty elements round it
