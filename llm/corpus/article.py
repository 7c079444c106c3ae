"""The main text of a page out of its blocks, by where the prose is and what the page calls it.

The fast reader: a fifteenth of trafilatura's time. It says whether it is to be doubted.
"""

import json
import re
from itertools import groupby
from typing import Any, NamedTuple

from llm.corpus.blocks import Block, Blocks, Span, blocks_of, parse
from llm.corpus.noise import CONTENT, NOISE, STRONG, is_byline, is_trimming

# A named part of the page is its main text where it has this share of the page's prose.
ENOUGH = 0.4
# Trimmings by name are none where they hold as much of the prose.
TOO_MUCH = 0.5
# Without any name, the main text is the smallest part of the page with this share of its prose.
MOST = 0.85
# Below as many characters of prose the reader doubts itself.
LITTLE = 250
# A block is links where they are this share of it.
LINKED = 0.5


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
    drop_trimmings(page)
    sums = page.sums()
    total = sums[-1]
    start, end, sure = main_range(page, sums)
    chosen = page.blocks[start:end]
    kept = cut_ends(select(chosen))
    score = sum(block.score for block in kept)
    doubtful = score < LITTLE or score < ENOUGH * total or not sure
    said = said_body(tree, html)
    if said:
        kept, agreed = agree(kept, said)
        doubtful = not agreed
    return Reading(render(kept), doubtful)


def drop_trimmings(page: Blocks) -> None:
    """Take away the blocks of elements that are trimmings by name, unless they are most of the page."""
    total = page.sums()[-1]
    gone = bytearray(len(page.blocks))
    sums = page.sums()
    for span in page.spans:
        if span.kind in (NOISE, STRONG) and not gone[span.start]:
            inside = sums[span.end] - sums[span.start]
            # Comments may be longer than what they are about.
            limit = TOO_MUCH * total if span.kind == NOISE else max(TOO_MUCH * total, total - 600)
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


def main_range(page: Blocks, sums: list[int]) -> tuple[int, int, bool]:
    """The range of blocks that is the main text, and whether the page leaves no doubt of it."""
    total = sums[-1]
    everything = (0, len(page.blocks), False)
    if not total:
        return everything

    def score(span: Span) -> int:
        return sums[span.end] - sums[span.start]

    tests = (
        lambda span: span.body,
        lambda span: span.kind == CONTENT and span.tag not in ("p", "li"),
        lambda span: span.tag == "article",
        lambda span: span.tag == "main",
    )
    best: Span | None = None
    for test in tests:
        named = [span for span in page.spans if test(span) and score(span) >= ENOUGH * total]
        if named:
            most = max(score(span) for span in named)
            # The innermost of those that hold nearly all that any of them does.
            best = [span for span in named if score(span) >= 0.95 * most][-1]
            break
    if best is None:
        best = [span for span in page.spans if score(span) >= MOST * total][-1:]
        best = best[0] if best else None
        if best is None:
            return everything
        return best.start, best.end, True
    return best.start, best.end, True


def select(blocks: list[Block]) -> list[Block]:
    """The blocks that are text: no lists of links, no teasers, no repeated lines."""
    kept: list[Block] = []
    seen: set[str] = set()
    links = _lists_of_links(blocks)
    for place, block in enumerate(blocks):
        if block.kind in ("pre",):
            kept.append(block)
            continue
        if block.kind == "figure" or place in links:
            continue
        if (
            block.linked > LINKED
            and (block.kind != "p" or block.linked > 0.8)
            and block.kind not in ("h", "h1")
        ):
            continue
        if is_trimming(block.text):
            continue
        if block.kind != "td" and len(block.text) > 20:
            if block.text in seen:
                continue
            seen.add(block.text)
        kept.append(block)
    return kept


def _lists_of_links(blocks: list[Block]) -> set[int]:
    """The places of items in runs that are links for the most part."""
    found: set[int] = set()
    for is_item, run in groupby(enumerate(blocks), key=lambda pair: pair[1].kind in ("li", "td")):
        if not is_item:
            continue
        places = list(run)
        size = sum(len(block.text) for _, block in places)
        if sum(block.links for _, block in places) > LINKED * size:
            found.update(place for place, _ in places)
    return found


def cut_ends(blocks: list[Block]) -> list[Block]:
    """Without what stands before the first prose (title, author, date) and behind the last."""
    first = next((i for i, block in enumerate(blocks) if block.score), None)
    if first is None:
        return blocks
    last = max(i for i, block in enumerate(blocks) if block.score)
    head = [block for block in blocks[:first] if not _is_loose(block) or not is_byline(block.text)]
    tail = [block for block in blocks[last + 1 :] if not _is_loose(block)]
    while tail and tail[-1].kind in ("h", "h1"):
        tail.pop()
    return [*head, *blocks[first : last + 1], *tail]


def _is_loose(block: Block) -> bool:
    """Whether a block is a short line that is no sentence."""
    if block.kind not in ("div", "p") or block.score or len(block.text) >= 100:
        return False
    return not _SENTENCE_END.search(block.text)


_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]]*$")
_SQUASHED = re.compile(r"[\W_]+")
_LD = re.compile(r"\"articleBody\"\s*:\s*(\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_TAGS = re.compile(r"<[^>]*>|&\w+;|&#\d+;")


def said_body(tree: Any, html: str) -> str:
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
