"""A page as a list of blocks: its paragraphs, headings, items, cells and code, and what holds them.

One walk over the tree, depth first: the blocks below an element are then a range of the list, and
everything that the choice of the main text asks of an element is a sum over its range.
"""

import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from lxml import etree

from llm.corpus.reading import formula
from llm.corpus.reading.elements import (
    BLOCKS,
    HEADINGS,
    INLINE,
    LEAVES,
    LENGTH,
    LONG,
    SHORT,
    SKIPPED,
    kind_of,
)
from llm.corpus.reading.formula import draws_formula
from llm.corpus.reading.names import WIDE

_WHITE = re.compile(r"[^\S\x0b]+")
_BREAK = "\x0b"
_BREAKS = re.compile(r" ?\x0b(?: ?\x0b ?)+")
_SENTENCE = re.compile(r"[.!?…:;,。！？、，؟۔।،፣።៖។၊။།·]")
# Scripts that set neither blanks between words nor, some of them, any mark between sentences.
_RUN_ON = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff]{12}")

_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{4}")

# Deeper elements are read as flat text: hostile pages nest without end.
MAX_DEPTH = 200

_PARSER = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)


@dataclass(slots=True)
class Block:
    """A piece of text with nothing but inline elements in it.

    links: characters inside links. score: characters of prose, 0 for what hardly is a sentence.
    row: which table row a cell is of, -1 outside tables.
    """

    kind: str
    text: str
    links: int
    row: int = -1
    score: int = 0

    @property
    def linked(self) -> float:
        """The share of the text that is links (0 to 1)."""
        return self.links / (len(self.text) or 1)


@dataclass(slots=True)
class Span:
    """An element as the range of its blocks, with what its names say of it."""

    start: int
    end: int
    tag: str
    kind: int
    body: bool = False
    names: str = ""


@dataclass(slots=True)
class Blocks:
    """All blocks of a page in order, and the elements that hold them, outer ones first."""

    blocks: list[Block] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def sums(self) -> list[float]:
        """The sums of weights before each block (one more than blocks).

        A block weighs its prose, but less where it is short, and where it stands beside a linked
        one: so are teasers for other pages.
        """
        weights = [0.0] * len(self.blocks)
        before = False
        for place, block in enumerate(self.blocks):
            score = block.score
            if score:
                weights[place] = score if score > LONG else score * score / LONG
                if score < 2 * LONG and (before or self._leads_on(place + 1)):
                    weights[place] /= 3
            before = block.linked > 0.8
        return list(accumulate(weights, initial=0.0))

    def _leads_on(self, place: int) -> bool:
        """Whether a block is a short link, as "read more" below a teaser is."""
        if place >= len(self.blocks):
            return False
        block = self.blocks[place]
        return block.linked > 0.8 and len(block.text) < 40 and block.kind in ("p", "div")


def parse(html: str) -> Any | None:
    """The page's tree by libxml2, None where there is nothing in it."""
    try:
        return etree.fromstring(html.encode("utf-8", "replace"), _PARSER)
    except etree.LxmlError:
        return None


def blocks_of(tree: Any, without_scripts: bool = False) -> Blocks:
    """Every block below the body that is not hidden, navigation or the like.

    without_scripts: as a browser shows the page that runs no scripts, with what is in `noscript`.
    """
    walker = _Walker(SKIPPED - {"noscript"} if without_scripts else SKIPPED)
    body = tree.find("body")
    walker.element(tree if body is None else body, "body", "div", 0)
    walker.flush()
    return walker.found


class _Walker:
    """Collects text between the starts and ends of block elements."""

    def __init__(self, skipped: frozenset[str]) -> None:
        self.skipped = skipped
        self.found = Blocks()
        self.pieces: list[str] = []
        self.links = 0
        self.kind = "div"
        self.row = -1
        self.rows = 0
        self.in_link = 0
        self.in_figure = 0

    def element(self, node: Any, tag: str, kind: str, depth: int) -> None:
        """A block element: its own blocks, and its range where later questions ask for it."""
        self.flush()
        found = self.found
        says, names = (0, "") if tag == "body" else kind_of(node, tag)
        if says < 0 or (says > WIDE and LENGTH(node) < SHORT[says]):
            return
        if draws_formula(names) and self.formula(node):
            return
        outer = self.kind, self.row
        self.kind = kind
        if tag == "figure":
            self.in_figure += 1
        elif tag == "tr":
            self.rows += 1
            self.row = self.rows
        elif tag == "table":
            self.row = -1
        span = None
        if says or tag not in LEAVES:  # nobody asks where a paragraph is
            is_body = node.get("itemprop") == "articleBody" if names else False
            span = Span(len(found.blocks), 0, tag, says, is_body, names)
            found.spans.append(span)
        self.children(node, tag, kind, depth)
        self.flush()
        if span is not None:
            span.end = len(found.blocks)
            if span.start == span.end:
                found.spans.pop()  # and those inside went before it
        if tag == "figure":
            self.in_figure -= 1
        self.kind, self.row = outer

    def children(self, node: Any, tag: str, kind: str, depth: int) -> None:
        pieces = self.pieces
        if node.text:
            self.add(node.text)
        for child in node:
            name = child.tag
            if name == "br":
                pieces.append(_BREAK)
            elif name == "pre":
                self.code(child)
            elif not isinstance(name, str) or name in self.skipped:
                if name == "nav" or name == "footer":
                    self.flush()
                elif name == "script" and (text := formula.script(child)):
                    self.add(text)
            elif depth > MAX_DEPTH:
                self.add(" ".join(child.itertext()))
            elif name in INLINE:
                self.inline(child, name, kind, depth + 1)
            elif name == "hr":
                self.flush()
            elif name == "math":
                self.add(formula.formula(child))
            elif name == "img":
                if text := formula.image(child):
                    self.add(text)
            elif name in HEADINGS:
                self.element(child, name, "h1" if name == "h1" else "h", depth + 1)
            elif name in ("p", "li", "dt", "dd", "td", "th", "blockquote"):
                self.element(child, name, "td" if name == "th" else name, depth + 1)
            elif name not in BLOCKS and next(child.iter(*BLOCKS), None) is None:
                self.inline(child, name, kind, depth + 1)
            else:
                self.element(child, name, kind if kind in ("li", "td", "dd") else "div", depth + 1)
            if child.tail:
                self.add(child.tail)

    def inline(self, node: Any, tag: str, kind: str, depth: int) -> None:
        if tag != "a":
            says, names = kind_of(node, tag, inline=True)
            if says < 0:
                return
            if (tag == "mjx-container" or draws_formula(names)) and self.formula(node):
                return
        if tag == "a":
            self.in_link += 1
        self.children(node, tag, kind, depth)
        if tag == "a":
            self.in_link -= 1

    def formula(self, node: Any) -> bool:
        """What a formula was drawn from, in place of the drawing; False where that is not known."""
        if formula.has_source(node):
            return True
        text = formula.formula(node)
        if text:
            self.add(text)
        return bool(text)

    def add(self, text: str) -> None:
        if text.isspace():
            if self.pieces:
                self.pieces.append(" ")
            return
        self.pieces.append(text)
        if self.in_link:
            self.links += len(text.strip())

    def code(self, node: Any) -> None:
        """Preformatted text as it stands."""
        self.flush()
        if kind_of(node, "pre")[0] < 0:
            return
        for each in node.iter("br"):
            each.tail = "\n" + (each.tail or "")
        text = "".join(node.itertext()).strip("\r\n").rstrip()
        if text.strip():
            self.found.blocks.append(Block("pre", text, 0, -1, len(text) if len(text) > 40 else 0))

    def flush(self) -> None:
        """End the block: what was collected is text of its own from here."""
        if not self.pieces:
            return
        text = "".join(self.pieces)
        links = self.links
        self.pieces.clear()
        self.links = 0
        if _BREAK not in text:
            text = " ".join(text.split())
            if text:
                kind = "figure" if self.in_figure and self.kind in ("div", "p") else self.kind
                block = Block(kind, text, links, self.row, prose(kind, text, links))
                self.found.blocks.append(block)
            return
        text = _WHITE.sub(" ", text).strip(" \x0b")
        if not text:
            return
        parts = _BREAKS.split(text) if _BREAK in text else [text]
        kind = "figure" if self.in_figure and self.kind in ("div", "p") else self.kind
        for part in parts:
            if (
                part := part.replace(" \x0b", "\n")
                .replace("\x0b ", "\n")
                .replace("\x0b", "\n")
                .strip()
            ):
                share = links * len(part) // len(text)
                self.found.blocks.append(
                    Block(kind, part, share, self.row, prose(kind, part, share))
                )


def prose(kind: str, text: str, links: int) -> int:
    """How many characters of a block count as prose: none of a short, linked or broken one.

    Characters of scripts that write a word in one or two count twice.
    """
    length = len(text)
    if not text.isascii() and _DENSE.search(text):
        length *= 2
        links *= 2
    if length < 40 or kind in ("h", "h1", "figure") or links > 0.4 * length:
        return 0
    if not _SENTENCE.search(text, 1) and (text.isascii() or not _RUN_ON.search(text)):
        return 0
    return length - links
