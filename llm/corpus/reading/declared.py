"""What a page declares of itself: that it is an article, and which text is the article's."""

import json
import re

from llm.corpus.reading.blocks import Block

# Below as many characters of prose the reader doubts itself.
LITTLE = 250
_ARTICLE_MARKS = (
    "article:published_time",
    '"NewsArticle"',
    '"BlogPosting"',
    '"Article"',
    '"ReportageNewsArticle"',
)
_SQUASHED = re.compile(r"[\W_]+")
_LD = re.compile(r"\"articleBody\"\s*:\s*(\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_TAGS = re.compile(r"<[^>]*>|&\w+;|&#\d+;")


def calls_itself_article(html: str) -> bool:
    """Whether a page's metadata (Open Graph, schema.org) says that it is an article."""
    place = html.find("og:type")
    if place >= 0 and "article" in html[max(0, place - 60) : place + 60]:
        return True
    return any(mark in html for mark in _ARTICLE_MARKS)


def said_body(html: str) -> str:
    """The text that the page itself declares as its article's (JSON-LD articleBody), squashed."""
    if '"articleBody"' not in html:
        return ""
    best = ""
    for found in _LD.finditer(html):
        try:
            text = json.loads(found[1], strict=False)
        except ValueError:
            continue
        if len(text) > len(best):
            best = text
    return _squash(_TAGS.sub(" ", best))


def _squash(text: str) -> str:
    return _SQUASHED.sub("", text).lower()


def agree(blocks: list[Block], said: str) -> tuple[list[Block], bool]:
    """The blocks cut to what the page declares as its text, and whether both are the same text."""
    scores = sum(block.score for block in blocks)
    inside = [_squash(block.text)[:80] in said for block in blocks]
    matched = sum(block.score for block, found in zip(blocks, inside, strict=True) if found)
    size = sum(
        len(_squash(block.text)) for block, found in zip(blocks, inside, strict=True) if found
    )
    if size < 0.75 * len(said):
        return blocks, len(said) < LITTLE  # the page declares more than was found
    if matched < 0.6 * scores:
        return blocks, True  # it declares its beginning only
    places = [place for place, found in enumerate(inside) if found]
    return blocks[places[0] : places[-1] + 1], True
