"""The main text of a page out of its blocks, by where the prose is and what the page calls it.

The fast reader: a fifteenth of trafilatura's time. It says whether it is to be doubted.
"""

from typing import NamedTuple

from llm.corpus.reading.blocks import Block, Blocks, blocks_of, parse
from llm.corpus.reading.declared import LITTLE, agree, calls_itself_article, said_body
from llm.corpus.reading.main_part import main_range
from llm.corpus.reading.trimmings import cut_ends, drop_trimmings, select

# The reader is sure where it keeps this share of the page's prose.
SURE = 0.6


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
    """Characters of a page that are not links."""
    return sum(len(block.text) - block.links for block in page.blocks)


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
