"""Blocks that are none of a page's text: trimmings by name, lists of links, teasers, bylines."""

import re
from itertools import accumulate, groupby

from llm.corpus.reading.blocks import Block, Blocks
from llm.corpus.reading.elements import LONG
from llm.corpus.reading.main_part import ENOUGH
from llm.corpus.reading.names import COMMENTS, NOISE, STRONG
from llm.corpus.reading.noise import is_byline, is_trimming

# Trimmings by name are none where they hold as much of the prose.
TOO_MUCH = 0.5
# A block is links where they are this share of it; items and cells are judged by their whole list.
LINKED = 0.5
# Tables whose first column is linked are not menus.
_LINKED_CELLS = 0.7
# As many teasers are a list of them.
_FEW = 3
_LINKED = {"p": 0.8, "h": 1.0, "h1": 1.0, "li": 1.0, "td": 1.0}
_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]]*$")


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
    """Whether a block is a short line that is not a sentence."""
    if block.kind not in ("div", "p") or block.score or len(block.text) >= 100:
        return False
    return not _SENTENCE_END.search(block.text)
