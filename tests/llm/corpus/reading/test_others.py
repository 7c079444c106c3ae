"""Every engine means the same by a paragraph, an item, a row and code."""

from typing import get_args

import pytest

from llm.corpus.extract import extract_text
from llm.corpus.reading.engine import Engine

PROSE = (
    "Masons who had learned their trade further south built it in stone, and merchants paid a toll "
    "that kept the piers in repair for as long as the town was free."
)
FIRST, SECOND, THIRD = (f"{PROSE} So the {n} book has it." for n in ("first", "second", "third"))
CODE = "def span(stones):\n    total = 0\n\n    for stone in stones:\n        total += stone\n    return total"
MARKUP = {
    "paragraphs": (f"<p>{SECOND}</p>", SECOND),
    "divs": (f"<div>{SECOND}</div><div>{PROSE}</div>", f"{SECOND}\n\n{PROSE}"),
    "code": (f'<pre><code class="language-python">{CODE}</code></pre>', CODE),
    "preformatted": (f"<pre>{CODE}</pre>", CODE),
    "items": (
        "<ul><li>the north pier</li><li>the south pier</li></ul>",
        "- the north pier\n- the south pier",
    ),
    "cells": (
        "<table><tr><td>pier</td><td>feet</td></tr><tr><td>north</td><td>12</td></tr></table>",
        "pier\tfeet\nnorth\t12",
    ),
    "break": ("<p>Of stone it was,<br>and of oak.</p>", "Of stone it was,\nand of oak."),
    "characters": (
        "<p>The toll was <b>5</b> <span>€</span> <i>我</i> a cart.</p>",
        "The toll was 5 € 我 a cart.",
    ),
}


def page(markup: str) -> str:
    return (
        f"<html><body><article><h1>A title</h1><p>{FIRST}</p>{markup}<p>{THIRD}</p></article>"
        '<footer><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li></ul></footer></body></html>'
    )


@pytest.mark.parametrize("engine", get_args(Engine))
@pytest.mark.parametrize("kind", MARKUP)
def test_engines_agree_on_what_text_looks_like(kind: str, engine: Engine) -> None:
    markup, text = MARKUP[kind]
    assert extract_text(page(markup), engine=engine) in (
        f"A title\n\n{FIRST}\n\n{text}\n\n{THIRD}",
        f"{FIRST}\n\n{text}\n\n{THIRD}",
    )


@pytest.mark.parametrize("engine", get_args(Engine))
def test_a_page_may_leave_out_its_html_and_body_tags(engine: Engine) -> None:
    html = f"<main><article><h1>A title</h1><p>{FIRST}</p><p>{THIRD}</p></article></main>"
    assert f"{FIRST}\n\n{THIRD}" in extract_text(html, engine=engine)


def test_resiliparse_loses_no_list_no_code_and_no_single_character_beside_its_text() -> None:
    html = page(
        "<p>€</p><p>字</p><ul><li>one</li><li>字</li></ul><pre>a = 1\n\nb = 2</pre>"
    ).replace("</article>", "</article><ul><li>beside the body</li></ul>")
    text = extract_text(html, engine="resiliparse")
    assert "\n\n€\n\n字\n\n- one\n- 字\n\na = 1\n\nb = 2\n\n" in text
    assert text.endswith("- beside the body")
    assert "About" not in text
