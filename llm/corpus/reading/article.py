"""The main text of a page out of its blocks, by where the prose is and what the page calls it.

The fast reader: a fifteenth of trafilatura's time. It says whether it is to be doubted.
"""

import json
import re
from collections.abc import Callable
from itertools import accumulate, groupby
from typing import NamedTuple

from llm.corpus.reading.blocks import LEAVES, LONG, Block, Blocks, Span, blocks_of, parse
from llm.corpus.reading.names import COMMENTS, CONTENT, NOISE, STRONG, WIDE
from llm.corpus.reading.noise import is_byline, is_trimming

# A named part of the page is its main text where it has this share of the page's prose.
ENOUGH = 0.4
# Trimmings by name are none where they hold as much of the prose.
TOO_MUCH = 0.5
# Without any name, the main text is the smallest part of the page with these shares of its prose,
# by weight and by characters.
MOST, MUCH = 0.85, 0.65
# An element is the only body among those of its names where it has this share of their prose.
SOLE = 0.6
# What lies round the main part belongs to it where this share of its characters is prose.
PURE = 0.7
# It is no more than this share of the main part.
MORE = 0.6
# The reader is sure where it keeps this share of the page's prose.
SURE = 0.6
# Below as many characters of prose the reader doubts itself.
LITTLE = 250
# A block is links where they are this share of it; items and cells are judged by their whole list.
LINKED = 0.5
# Tables whose first column is linked are no menus.
_LINKED_CELLS = 0.7
# As many teasers are a list of them.
_FEW = 3
_LINKED = {"p": 0.8, "h": 1.0, "h1": 1.0, "li": 1.0, "td": 1.0}


class Reading(NamedTuple):
    """A page's main text; `doubtful`: a second opinion is worth its time."""

    text: str
    doubtful: bool


def read_article(html: str) -> Reading:
    """The main text of a page."""
    tree = parse(html)
    if tree is None:
        return Reading("", True)
    page = blocks_of(tree)
    everything = _plain(page)
    if everything < LITTLE and "<noscript" in html.lower():
        shown = blocks_of(tree, without_scripts=True)
        if _plain(shown) > LITTLE:  # more than a notice that scripts are off
            page, everything = shown, _plain(shown)
    drop_trimmings(page)
    is_article = calls_itself_article(html)
    start, end = main_range(page, is_article)
    kept = cut_ends(select(page.blocks[start:end]), is_article)
    prose = sum(block.score for block in kept)
    doubtful = prose < SURE * sum(block.score for block in page.blocks)
    if prose < LITTLE:
        # Where there is hardly any other text either, nobody would find more.
        found = sum(len(block.text) for block in kept)
        doubtful = everything > max(2 * LITTLE, 2 * found)
    said = said_body(html)
    if said:
        kept, agreed = agree(kept, said)
        doubtful = not agreed
    return Reading(render(kept), doubtful)


def _plain(page: Blocks) -> int:
    """Characters of a page that are no links."""
    return sum(len(block.text) - block.links for block in page.blocks)


def drop_trimmings(page: Blocks) -> None:
    """Take away the blocks of elements that are trimmings by name, unless they are most of the page."""
    gone = bytearray(len(page.blocks))
    sums = page.sums()
    if not sums[-1]:  # nothing like prose: lyrics, tables
        sums = list(accumulate((len(b.text) - b.links for b in page.blocks), initial=0))
    total = sums[-1]
    # Elements of the same names are one thing: comments, or the fields of an article.
    together: dict[str, float] = {}
    ends: dict[str, int] = {}
    for span in page.spans:
        if span.kind >= NOISE and span.names and span.start >= ends.get(span.names, 0):
            inside = sums[span.end] - sums[span.start]
            together[span.names] = together.get(span.names, 0.0) + inside
            ends[span.names] = span.end
    for span in page.spans:
        if span.kind >= NOISE and not gone[span.start]:
            inside = together.get(span.names, sums[span.end] - sums[span.start])
            limit = TOO_MUCH * total
            if span.kind == COMMENTS:  # they may be longer than what they are about
                limit = max(limit, total - 600)
            elif span.kind == STRONG:
                limit = max(limit, min(0.8 * total, total - 600))
            if inside <= limit:
                gone[span.start : span.end] = b"\1" * (span.end - span.start)
    if not any(gone):
        return
    kept = [0]
    for flag in gone:
        kept.append(kept[-1] + (not flag))
    page.blocks = [block for block, flag in zip(page.blocks, gone, strict=True) if not flag]
    spans = []
    for span in page.spans:
        span.start, span.end = kept[span.start], kept[span.end]
        if span.start < span.end:
            spans.append(span)
    page.spans = spans


def main_range(page: Blocks, is_article: bool) -> tuple[int, int]:
    """The range of blocks that is the main text, with the title above it if it is no article."""
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
    """Characters of items and cells that are no links: ingredients, facts."""
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


# What names an element the main text, best first; the first _EXACT leave nothing to look for in it.
_NAMED: tuple[Callable[[Span], bool], ...] = (
    lambda span: span.body,
    lambda span: span.kind == CONTENT and span.tag not in ("p", "li"),
    lambda span: span.tag == "article",
    lambda span: span.tag == "main" or span.kind == WIDE,
)
_EXACT = 2


def select(blocks: list[Block]) -> list[Block]:
    """The blocks that are text: no lists of links, no teasers, no repeated lines."""
    kept: list[Block] = []
    seen: set[str] = set()
    links = _lists_of_links(blocks) | _cards(blocks)
    bare = False  # the last block kept is a heading, and what it was the heading of is dropped
    for place, block in enumerate(blocks):
        text = block.text
        if block.kind != "pre" and (
            block.kind == "figure"
            or place in links
            or block.linked > _LINKED.get(block.kind, LINKED)
            or text in seen
            or is_trimming(text)
        ):
            if block.kind != "figure":
                bare = bool(kept) and kept[-1].kind == "h"
            continue
        if bare and block.kind in ("h", "h1"):
            kept.pop()
        bare = False
        if len(text) > 120:
            seen.add(text)
        kept.append(block)
    return kept[:-1] if bare else kept


def _cards(blocks: list[Block]) -> set[int]:
    """The places of teasers: linked titles with a short text behind each, three or more of them."""
    found = [
        place
        for place in range(1, len(blocks))
        if blocks[place].score < LONG
        and blocks[place].linked < LINKED
        and blocks[place - 1].linked > 0.8
        and blocks[place].kind in ("p", "div")
        and blocks[place - 1].kind in ("p", "div", "h")
    ]
    prose = sum(block.score for block in blocks)
    if len(found) < _FEW or sum(blocks[place].score for place in found) > ENOUGH * prose:
        return set()  # too few, or what the page is about
    return {each for place in found for each in (place - 1, place)}


def _lists_of_links(blocks: list[Block]) -> set[int]:
    """The places of items in runs that are links for the most part."""
    found: set[int] = set()
    for is_item, run in groupby(enumerate(blocks), key=lambda pair: pair[1].kind in ("li", "td")):
        if not is_item:
            continue
        places = list(run)
        size = sum(len(block.text) for _, block in places)
        first, block = places[0]
        if first and blocks[first - 1].text.endswith(":") and blocks[first - 1].kind != "h":
            continue  # what the sentence before it promises
        most = LINKED if block.kind == "li" else _LINKED_CELLS
        if sum(block.links for _, block in places) > most * size:
            found.update(place for place, _ in places)
    return found


_ARTICLE_MARKS = (
    "article:published_time",
    '"NewsArticle"',
    '"BlogPosting"',
    '"Article"',
    '"ReportageNewsArticle"',
)


def calls_itself_article(html: str) -> bool:
    """Whether a page's metadata (Open Graph, schema.org) says that it is an article."""
    place = html.find("og:type")
    if place >= 0 and "article" in html[max(0, place - 60) : place + 60]:
        return True
    return any(mark in html for mark in _ARTICLE_MARKS)


def cut_ends(blocks: list[Block], is_article: bool) -> list[Block]:
    """Without the trimmings before the first prose (author, date) and behind the last.

    An article's title is none of its text, a manual's is.
    """
    first = next((i for i, block in enumerate(blocks) if block.score), None)
    if first is None:
        return blocks
    last = max(i for i, block in enumerate(blocks) if block.score)
    head = [
        block
        for block in blocks[:first]
        if not (is_article and block.kind == "h1")
        and not (_is_loose(block) and (is_article or is_byline(block.text)))
    ]
    second = next((i for i in range(first + 1, last) if blocks[i].score), first)
    lead = [
        block
        for block in blocks[first + 1 : second]
        if not (_is_loose(block) and is_byline(block.text))
    ]
    tail = blocks[last + 1 :]
    if is_article:
        tail = [block for block in tail if not _is_loose(block)]
        while tail and tail[-1].kind in ("h", "h1"):
            tail.pop()
    return [*head, blocks[first], *lead, *blocks[max(second, first + 1) : last + 1], *tail]


def _is_loose(block: Block) -> bool:
    """Whether a block is a short line that is no sentence."""
    if block.kind not in ("div", "p") or block.score or len(block.text) >= 100:
        return False
    return not _SENTENCE_END.search(block.text)


_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]]*$")
_SQUASHED = re.compile(r"[\W_]+")
_LD = re.compile(r"\"articleBody\"\s*:\s*(\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_TAGS = re.compile(r"<[^>]*>|&\w+;|&#\d+;")


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


def render(blocks: list[Block]) -> str:
    """Blocks as text: paragraphs apart by blank lines, items and rows one a line."""
    lines: list[str] = []
    before: Block | None = None
    for block in blocks:
        text = "- " + block.text if block.kind == "li" else block.text
        if before is None:
            lines.append(text)
        elif block.kind == "td" and before.kind == "td" and block.row == before.row:
            lines.append("\t" + text)
        elif (block.kind == before.kind and block.kind in ("li", "td")) or before.kind == "dt":
            lines.append("\n" + text)
        else:
            lines.append("\n\n" + text)
        before = block
    return "".join(lines)
