"""Which part of a page is its main text: by what the page calls its parts, and by where the prose is."""

from collections.abc import Callable
from itertools import accumulate

from llm.corpus.reading.blocks import Block, Blocks, Span
from llm.corpus.reading.elements import LEAVES, LONG
from llm.corpus.reading.names import CONTENT, WIDE
from llm.corpus.reading.noise import is_byline, is_trimming

# A named part of the page is its main text where it has this share of the page's prose.
ENOUGH = 0.4
# Without any name, the main text is the smallest part of the page with these shares of its prose,
# by weight and by characters.
MOST, MUCH = 0.85, 0.65
# An element is the only body among those of its names where it has this share of their prose.
SOLE = 0.6
# What lies round the main part belongs to it where this share of its characters is prose.
PURE = 0.7
# It is no more than this share of the main part.
MORE = 0.6

# What names an element the main text, best first; the first _EXACT leave nothing to look for in it.
_NAMED: tuple[Callable[[Span], bool], ...] = (
    lambda span: span.body,
    lambda span: span.kind == CONTENT and span.tag not in ("p", "li"),
    lambda span: span.tag == "article",
    lambda span: span.tag == "main" or span.kind == WIDE,
)
_EXACT = 2


def main_range(page: Blocks, is_article: bool) -> tuple[int, int]:
    """The range of blocks that is the main text, with the title above it if it is not an article."""
    weights = page.sums()
    scores = list(accumulate((block.score for block in page.blocks), initial=0))

    def weight(span: Span) -> float:
        return weights[span.end] - weights[span.start]

    def score(span: Span) -> int:
        return scores[span.end] - scores[span.start]

    best = Span(0, len(page.blocks), "body", 0)
    exact = False
    for rank, test in enumerate(_NAMED):
        named = [span for span in page.spans if test(span) and weight(span) > ENOUGH * weights[-1]]
        if named:
            most = max(weight(span) for span in named)
            best = [span for span in named if weight(span) >= 0.95 * most][-1]
            exact = rank < _EXACT
            break
    if not exact:
        # The innermost part with nearly all of it.
        enough_weight, enough_score = MOST * weight(best), MUCH * score(best)
        for span in page.spans:
            if (
                span.tag not in LEAVES
                and best.start <= span.start
                and span.end <= best.end
                and weight(span) >= enough_weight
                and score(span) >= enough_score
            ):
                best = span
    start, end = widened(page, best, weights)
    if not is_article and not exact:
        near = range(max(0, start - 4), start)
        start = next((place for place in near if page.blocks[place].kind == "h1"), start)
    return start, end


def widened(page: Blocks, best: Span, weights: list[float]) -> tuple[int, int]:
    """The range of the main part with what belongs to it beside it.

    That is: elements with the same names (an article in several bodies, the posts of a thread),
    what lies round it where that is nearly all prose, and an introduction below the title.
    """
    blocks = page.blocks
    start, end = best.start, best.end
    if best.names.strip() and best.tag != "body":
        like = [span for span in page.spans if span.tag == best.tag and span.names == best.names]
        like = [span for span in like if weights[span.end] - weights[span.start] >= LONG]
        inside = weights[end] - weights[start]
        # Where one of them outweighs the others, those are teasers or comments of the same make.
        if inside < SOLE * sum(weights[span.end] - weights[span.start] for span in like):
            start, end = min(start, like[0].start), max(end, max(span.end for span in like))
    around = [
        span
        for span in reversed(page.spans)
        if span.start <= start and end <= span.end and span.tag not in (*LEAVES, "body")
    ]
    around.sort(key=lambda span: span.end - span.start)
    if around:
        # What lies beyond a line such as "Related" does not belong to the text.
        least = _beyond_trimming(blocks, range(start - 1, around[-1].start - 1, -1), -1) + 1
        most = _beyond_trimming(blocks, range(end, around[-1].end), len(blocks))
        sizes = list(accumulate((block.score or len(block.text) for block in blocks), initial=0))
    for span in around:
        first, last = max(span.start, min(least, start)), min(span.end, max(most, end))
        prose = weights[start] - weights[first] + weights[last] - weights[end]
        size = sizes[start] - sizes[first] + sizes[last] - sizes[end]
        if size < LONG or prose > MORE * (weights[end] - weights[start]):
            continue
        if prose < LONG or prose < PURE * size:
            prose += _plain_items([*blocks[first:start], *blocks[end:last]])
        if prose >= LONG and prose >= PURE * size:
            start, end = first, last
    return introduction(blocks, start), end


def _beyond_trimming(blocks: list[Block], places: range, otherwise: int) -> int:
    """The first of the places whose block is a line that pages put round their text."""
    return next((place for place in places if is_trimming(blocks[place].text)), otherwise)


def _plain_items(blocks: list[Block]) -> int:
    """Characters of items and cells that are not links: ingredients, facts."""
    listed = [block for block in blocks if block.kind in ("li", "td")]
    size = sum(len(block.text) for block in listed)
    return (
        size - sum(block.score for block in listed)
        if sum(block.links for block in listed) < 0.2 * size
        else 0
    )


def introduction(blocks: list[Block], start: int) -> int:
    """Where the text starts if the first prose above it stands right below a title."""
    between = 0
    for place in range(start - 1, max(-1, start - 12), -1):
        block = blocks[place]
        if block.kind in ("h1", "li", "td") or between > LONG:
            break
        if block.score > 50 and block.linked < 0.3 and not _is_trimming(block):
            title = [each.kind for each in blocks[max(0, place - 4) : place]]
            return place if "h1" in title else start
        if block.kind != "figure":
            between += len(block.text)
    return start


def _is_trimming(block: Block) -> bool:
    return is_trimming(block.text) or is_byline(block.text)
