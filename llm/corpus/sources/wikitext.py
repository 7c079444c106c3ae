"""From wiki markup to text: one pass over the marks, one stack, time that grows with the length alone.

Templates, tables, references, files and categories go; links become their words, headings and list
items lines of their own, formulas TeX between dollar signs. Damaged markup costs its marks only:
what is never closed stays as text. Grammar: https://www.mediawiki.org/wiki/Help:Formatting and
https://www.mediawiki.org/wiki/Preprocessor_ABNF.
"""

import html
import re
from collections import Counter
from collections.abc import Collection

# Elements whose content is not markup: kept as it stands, or left out.
_VERBATIM = ("nowiki", "pre", "source", "syntaxhighlight", "math", "chem", "ce")
_LEFT_OUT = (
    *("score", "timeline", "gallery", "imagemap", "hiero", "graph", "templatedata", "mapframe"),
    *("maplink", "categorytree", "inputbox", "style", "templatestyles", "section"),
)
_FORMULAS = ("math", "chem", "ce")
_RAW = (*_VERBATIM, *_LEFT_OUT)
_REFERENCES = ("ref", "references")

# Every alternative begins with a character of its own, which is what makes the search quick.
_MARK = re.compile(
    r"<(?:!--|/?[a-zA-Z][^<>]*>)|\{\{|\}\}|\[\[|\]\]|\[(?=(?:https?:|ftp:)?//|mailto:)|\]|''+"
    r"|\n(?:\n|[ \t:]*\{\||[ \t]*\|\}(?!\}))"
)
_TAG = re.compile(r"<(/?)([a-zA-Z]+)")
_OPENING = {"{{": "template", "[[": "link", "[": "address", "{|": "table"}
_ENDING = {"}}": "template", "]]": "link", "]": "address", "|}": "table"}

# Words that every wiki knows; a dump names those of its own language as well.
_DROPPED_LINKS = frozenset(("file", "image", "media", "category"))
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+){0,2}|simple")

# Templates that are nothing but their words: which argument is.
_WORDS = {
    **dict.fromkeys(("lang", "transl", "transliteration", "rtl-lang"), -1),
    **dict.fromkeys(
        ("nowrap", "nobr", "small", "smaller", "big", "abbr", "em", "strong", "mvar"), 1
    ),
    **dict.fromkeys(("linktext", "quote", "blockquote", "math", "code", "tooltip", "ship"), 1),
}
_MEASURES = ("convert", "cvt")
_RANGES = ("-", "–", "to", "and", "by", "x", "or", "+/-", "±")
_POWERS = {"e3": "thousand ", "e6": "million ", "e9": "billion ", "e12": "trillion "}

_HEADING = re.compile(r"(={1,6})[ \t]*(.*?)[ \t]*=+[ \t]*")
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_LIST = re.compile(r"([*#:;]+)[ \t]*")
_LINE_LEFTOVERS = re.compile(r"\{\||\|[}\-+]?|!|-{4,}$")
# What templates leave behind that are gone: "(; born 1967)", "( )", "word ,".
_EMPTY_BRACKETS = re.compile(r" ?\([ ,;:]*\)")
_BRACKET_START = re.compile(r"\([ ,;]+")
_BRACKET_END = re.compile(r"[ ,;]{1,8}\)")
_BLANK_BEFORE = re.compile(r" (?=[,;.](?: |$))")
_BLANKS = re.compile(r"[\t\xa0]+[ \t\xa0]*| [ \t\xa0]+")


def strip(markup: str, dropped_links: Collection[str] = ()) -> str:
    """The text of a page's markup; paragraphs are apart by empty lines.

    `dropped_links`: further namespaces, in lower case, whose links are not text ("datei").
    Headings without text below them are left out. Never raises.
    """
    pass_ = _Pass("\n" + markup, _DROPPED_LINKS.union(dropped_links))
    return _lines(html.unescape(pass_.run()))


class _Pass:
    """One run over the marks. A frame is what has been opened: its kind and the text since."""

    def __init__(self, markup: str, dropped: Collection[str]) -> None:
        self.markup = markup
        self.dropped = dropped
        self.frames: list[tuple[str, list[str]]] = [("", [])]
        self.open: Counter[str] = Counter()
        self.unclosed: set[str] = set()

    def run(self) -> str:
        position = 0
        while match := _MARK.search(self.markup, position):
            self._write(self.markup[position : match.start()])
            position = self._mark(match[0], match.end())
        self._write(self.markup[position:])
        self._fold(0)
        return "".join(self.frames[0][1])

    def _mark(self, mark: str, end: int) -> int:
        """Take a mark that ends at `end`; returns where to read on."""
        if mark[0] == "<":
            return self._element(mark, end)
        if mark[0] == "'":
            self._write("'" if len(mark) == 4 else "")
        elif mark == "\n\n":
            # Addresses and the names of links end with their paragraph; what is open is not a link.
            depth = len(self.frames) - 1
            while self.frames[depth][0] in ("address", "link") and not self._is_file(depth):
                depth -= 1
            self._fold(depth)
            self._write("\n")
            return end - 1
        elif mark == "]]" and self.frames[-1][0] == "address":
            self._end("address", "]")
            return end - 1
        elif (kind := _OPENING.get(mark)) is not None:
            self._push(kind)
        elif (kind := _ENDING.get(mark)) is not None:
            self._end(kind, mark)
        else:
            self._write("\n")
            if mark.endswith("{|"):
                self._push("table")
            else:
                self._end("table", mark)
        return end

    def _element(self, mark: str, end: int) -> int:
        """What begins with <: a comment, a reference, what is not markup, or a tag that goes."""
        if mark == "<!--":
            close = self.markup.find("-->", end)
            return len(self.markup) if close < 0 else close + 3
        tag = _TAG.match(mark)
        assert tag is not None
        name = tag[2].lower()
        if name == "br":
            self._write("\n")
        elif name in _REFERENCES and tag[1]:
            self._close("reference", "")
        elif name in _REFERENCES and not mark.endswith("/>"):
            self._push("reference")
        elif name in _RAW and not tag[1] and not mark.endswith("/>"):
            return self._raw(name, end)
        return end

    def _raw(self, name: str, start: int) -> int:
        """Take an element whose content is not markup whole; one that never ends is a mere tag."""
        if name in self.unclosed:
            return start
        closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(self.markup, start)
        if closing is None:
            self.unclosed.add(name)
            return start
        content = self.markup[start : closing.start()]
        if name in _FORMULAS and content.strip():
            self._write(f"${' '.join(content.split())}$")
        elif name in _VERBATIM:
            self._write(content)
        return closing.end()

    def _write(self, text: str) -> None:
        if text:
            self.frames[-1][1].append(text)

    def _push(self, kind: str) -> None:
        self.frames.append((kind, []))
        self.open[kind] += 1

    def _fold(self, depth: int) -> None:
        """Give up what was opened above `depth` and never closed: it is text."""
        for kind, parts in self.frames[depth + 1 :]:
            self.open[kind] -= 1
            self.frames[depth][1].extend(parts)
        del self.frames[depth + 1 :]

    def _end(self, kind: str, mark: str) -> None:
        if not self.open[kind]:
            self._write(mark if kind == "address" else "")
        elif kind in ("link", "template"):
            self._close(kind, None)
        elif kind == "address":
            # A bracket that closes no address is a bracket.
            self._close(kind, None) if self.frames[-1][0] == kind else self._write(mark)
        else:
            self._close(kind, "")

    def _close(self, kind: str, text: str | None) -> None:
        """End the innermost frame of a kind, and write `text` or what its content stands for."""
        if not self.open[kind]:
            return
        depth = len(self.frames) - 1
        while self.frames[depth][0] != kind:
            depth -= 1
        self._fold(depth)
        content = "".join(self.frames.pop()[1])
        self.open[kind] -= 1
        if text is None:
            text = {"link": self._link, "template": _template, "address": _address}[kind](content)
        self._write(text)

    def _is_file(self, depth: int) -> bool:
        kind, parts = self.frames[depth]
        start = "".join(parts[:1]).lstrip()
        return kind == "link" and start.partition(":")[0].strip().lower() in self.dropped

    def _link(self, content: str) -> str:
        """The words of a link, none for files, categories and the page in other languages."""
        target, pipe, label = content.partition("|")
        prefix, colon, name = target.strip().partition(":")
        if colon and prefix.strip().lower() in self.dropped:
            return ""
        if pipe and label.strip():
            return label
        if colon and not pipe and _LANGUAGE.fullmatch(prefix):
            return ""
        if pipe and colon:
            target = name
        return target.strip().lstrip(":#").replace("#", " ")


def _template(content: str) -> str:
    """The words of the few templates that are little else, else nothing."""
    name, _, rest = content.partition("|")
    name = name.strip().lower().replace("_", " ")
    if name in _MEASURES:
        return _measure([word.strip() for word in rest.split("|")])
    if name not in _WORDS and not name.startswith("lang-"):
        return ""
    words = [word.strip() for word in rest.split("|") if "=" not in word.partition(" ")[0]]
    place = _WORDS.get(name, 1)
    if not words:
        return ""
    return words[-1] if place < 0 else words[0]


def _measure(words: list[str]) -> str:
    """`5|km|mi` → 5 km; `5|-|7|e6acre` → 5 - 7 million acre."""
    count = 3 if len(words) > 2 and words[1] in _RANGES else 1
    unit = words[count] if len(words) > count else ""
    power = re.match(r"e\d+", unit)
    if power and power[0] in _POWERS:
        unit = _POWERS[power[0]] + unit[power.end() :]
    return " ".join([*words[:count], unit]).strip()


def _address(content: str) -> str:
    """The words of a link to another site."""
    return content.partition(" ")[2].strip()


def _lines(text: str) -> str:
    """Text lines: headings bare and apart, list items after a dash, leftovers of tables away."""
    blocks: list[tuple[int, str]] = []  # heading's level or 0, text
    for line in text.split("\n"):
        line = _BLANKS.sub(" ", _SWITCH.sub("", line)).strip()
        if not line:
            blocks.append((0, ""))
        elif (heading := _HEADING.fullmatch(line)) and heading[2]:
            blocks.append((len(heading[1]), heading[2]))
        elif not _LINE_LEFTOVERS.match(line):
            blocks.append((0, _item(_without_holes(line))))
    return _joined(_without_empty_sections(blocks))


def _without_holes(line: str) -> str:
    if "(" in line:
        line = _EMPTY_BRACKETS.sub("", line)
        line = _BRACKET_END.sub(")", _BRACKET_START.sub("(", line))
    return _BLANK_BEFORE.sub("", line)


def _item(line: str) -> str:
    match = _LIST.match(line)
    if match is None:
        return line
    rest = line[match.end() :]
    return f"- {rest}" if rest and match[1][-1] in "*#" else rest


def _without_empty_sections(blocks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out each heading that no text follows before one of its level or above."""
    kept: list[tuple[int, str]] = []
    level = 0  # of the heading that comes next with nothing between, 0: none; 7: nothing at all
    empty = 7
    for depth, text in reversed(blocks):
        if not depth:
            if text:
                level, empty = 0, 0
            kept.append((depth, text))
        elif not empty and (not level or level > depth):
            level = depth
            kept.append((depth, text))
    return kept[::-1]


def _joined(blocks: list[tuple[int, str]]) -> str:
    """Lines with at most one empty one between, and one round each heading."""
    lines: list[str] = []
    for depth, text in blocks:
        if (depth or not text) and lines and lines[-1]:
            lines.append("")
        if text:
            lines.append(text)
        if depth:
            lines.append("")
    return "\n".join(lines).strip("\n")
