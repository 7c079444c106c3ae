"""The texts of other extractors in the form of our own: paragraphs apart by a blank line, code as it stands."""

import re
from collections import Counter
from html import unescape
from itertools import groupby, takewhile
from typing import Any

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from llm.corpus.reading.article import render
from llm.corpus.reading.blocks import Block

_WHITE = re.compile(r"\s+")
_BLANKS = re.compile(r"[^\S\n]+")
_TAG = re.compile(r"<[^>]*>")
_SOURCE_PRE = re.compile(r"<pre\b[^>]*>(.*?)</pre", re.DOTALL | re.IGNORECASE)
_LOOKED_AT = 50  # characters in which trafilatura looks for a sign of HTML
# Elements of trafilatura's output that are paragraphs or hold some; the others are inline.
_KINDS = {
    "p": "p",
    "head": "h",
    "quote": "p",
    "list": "",
    "item": "li",
    "table": "",
    "row": "",
    "cell": "td",
    "div": "p",
    "ab": "p",
    "code": "pre",
}


def by_trafilatura(html: str, url: str = "") -> str:
    """The main text by trafilatura, "" where it finds none.

    Without its fallbacks it is faster and no worse. Its own plain text sets paragraphs apart by one
    line end and drops the blank lines of code, so that the text is written from its tree instead.
    """
    if "html" not in html[:_LOOKED_AT].lower():
        html = f"<html><body>{html}</body></html>"  # it takes what says nothing of HTML for none
    document = trafilatura.bare_extraction(
        html, url=url or None, fast=True, include_comments=False, include_formatting=False
    )
    body = getattr(document, "body", None)
    if body is None:
        return ""
    writer = _Writer(_preformatted(html))
    writer.holder(body, "p")
    writer.flush()
    return render(writer.blocks)


class _Writer:
    """Blocks from trafilatura's tree."""

    def __init__(self, preformatted: set[str]) -> None:
        self.preformatted = preformatted
        self.blocks: list[Block] = []
        self.pieces: list[str] = []
        self.kind = "p"
        self.row = -1
        self.in_quotation = False

    def holder(self, node: Any, kind: str) -> None:
        outer, self.kind = self.kind, kind
        self.text(node.text)
        for child in node:
            self.child(child, kind)
            self.text(child.tail)
        self.flush()
        self.kind = outer

    def child(self, node: Any, kind: str) -> None:
        tag = node.tag
        if tag == "lb":
            self.pieces.append("\n")
        elif not isinstance(tag, str):
            return
        elif tag not in _KINDS or (tag == "code" and self.pieces and "\n" not in _all(node)):
            self.text(_all(node))
        elif tag == "code" or (tag == "quote" and _squashed(_all(node)) in self.preformatted):
            self.flush()
            text = _all(node).strip("\r\n").rstrip()
            if text.strip():
                self.blocks.append(Block("pre", text, 0))
        else:
            self.flush()
            self.row += tag == "row"
            part = (node.get("rend") or "")[:2]
            inside = part if part in ("dt", "dd") else _KINDS[tag]
            outer, self.in_quotation = self.in_quotation, self.in_quotation or tag == "quote"
            self.holder(node, inside or kind)
            self.in_quotation = outer

    def text(self, text: str | None) -> None:
        # Its fallback sets line ends between what may be paragraphs; quotations have the source's.
        if text:
            self.pieces.append((_WHITE if self.in_quotation else _BLANKS).sub(" ", text))

    def flush(self) -> None:
        lines = [" ".join(line.split(" ")).strip() for line in "".join(self.pieces).split("\n")]
        self.pieces.clear()
        text = "\n".join(line for line in lines if line)
        if text:
            self.blocks.append(Block(self.kind, text, 0, self.row if self.kind == "td" else -1))


def _preformatted(html: str) -> set[str]:
    """The texts of the page's `pre`, which trafilatura makes quotations where they are not code."""
    return {_squashed(unescape(_TAG.sub("", text))) for text in _SOURCE_PRE.findall(html)}


def _squashed(text: str) -> str:
    return _WHITE.sub("", text)


def _all(node: Any) -> str:
    return "".join(node.itertext())


def by_resiliparse(html: str) -> str:
    """The main text by resiliparse, with the lists, code and single characters that it leaves out.

    Its choice of the main content drops lists, code with few letters, and elements whose text is one
    character (a CJK character, a euro sign). They are put back where they stand in its text or right beside it.
    """
    tree = HTMLTree.parse(html)
    chosen = _units(_marked(tree, main_content=True))
    return render(_put_back(chosen, _units(_marked(tree, links=True))))


def _marked(tree: HTMLTree, main_content: bool = False, links: bool = False) -> str:
    """What resiliparse writes of a page, with the tags of paragraphs, items and code."""
    return str(
        extract_plain_text(
            tree,
            preserve_formatting="minimal_html",
            main_content=main_content,
            links=links,
            alt_texts=False,
        )
    )


_PRE = re.compile(r"<pre>(.*?)</pre>", re.DOTALL)
_LINK = re.compile(r"<a\b[^>]*>([^<]*)")
_LI = re.compile(r"^\s*<li\b")
_HEADING = re.compile(r"^\s*<h[1-6]\b")
_LONGER = re.compile(r"\w{2,}")


def _units(marked: str) -> list[Block]:
    """Blocks of what resiliparse writes: a line each, but for line breaks and code."""
    units: list[Block] = []
    row = 0  # of a table, or a list's number
    for number, part in enumerate(_PRE.split(marked)):
        if number % 2:
            text = unescape(_TAG.sub("", part)).strip("\r\n").rstrip()
            units += [Block("pre", text, 0)] if text.strip() else []
            continue
        for line in part.replace("<br>\n", "<br>").split("\n"):
            row += line.lstrip().startswith(("<ul", "<ol"))
            kind = "li" if _LI.match(line) else "h" if _HEADING.match(line) else "p"
            text = unescape(_TAG.sub("", line.replace("<br>", "\v"))).strip(" \v")
            if "\t" in text:
                row += 1
                cells = filter(None, (cell.strip() for cell in text.split("\t")))
                units += [Block("td", cell, 0, row) for cell in cells]
            elif text:
                text = "\n".join(" ".join(each.split()) for each in text.split("\v"))
                links = sum(map(len, _LINK.findall(line)))
                units.append(Block(kind, text, links, row if kind == "li" else -1))
    return units


def _put_back(chosen: list[Block], everything: list[Block]) -> list[Block]:
    """The blocks of `everything` that were chosen, with lists, code and single characters beside them."""
    keys = [key for block in chosen if (key := _LONGER.findall(block.text))]
    place = 0
    marked: list[tuple[bool, Block]] = []
    for block in everything:
        key = _LONGER.findall(block.text)
        is_chosen = place < len(keys) and key == keys[place]
        place += is_chosen
        marked.append((is_chosen, block))
    if place < len(keys):
        return chosen  # it reads the page another way then
    runs = [
        (is_chosen, [block for _, block in run])
        for is_chosen, run in groupby(marked, key=lambda mark: mark[0])
    ]
    kept: list[Block] = []
    for number, (is_chosen, blocks) in enumerate(runs):
        if is_chosen:
            kept += blocks
        elif 0 < number < len(runs) - 1:
            kept += _lost(blocks)
        elif number:
            kept += _lost(list(takewhile(_may_be_lost, blocks)))
        elif len(runs) > 1:
            kept += _lost(list(takewhile(_may_be_lost, reversed(blocks)))[::-1])
    return kept


def _may_be_lost(block: Block) -> bool:
    short = len(block.text) < 10 and not _LONGER.search(block.text)
    return block.kind in ("li", "pre") or short


def _lost(blocks: list[Block]) -> list[Block]:
    """Of blocks that were not chosen: code, single characters, and items of lists that are not links."""
    sizes: Counter[int] = Counter()
    links: Counter[int] = Counter()
    for block in blocks:
        if block.kind == "li":
            sizes[block.row] += len(block.text)
            links[block.row] += block.links
    return [
        block
        for block in blocks
        if _may_be_lost(block) and (block.kind != "li" or 2 * links[block.row] <= sizes[block.row])
    ]
