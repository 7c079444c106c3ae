"""Reading the XML dumps of wikis, such as Wikipedia's pages-articles: one row a page, memory flat.

Format: https://www.mediawiki.org/wiki/Help:Export.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote
from xml.parsers import expat

from llm.corpus.sources.wikitext import strip

# Bytes of XML that are parsed at a time, and characters that no field but the text is longer than.
_CHUNK = 1 << 16
_MAX_FIELD = 4096
# Namespaces whose links are not text, whatever they are called in the wiki's language.
_DROPPED_NAMESPACES = ("-2", "6", "14")
_REDIRECT = re.compile(r"\s*#\w+:?\s*\[\[[^\]]+\]\]\s*\Z")
_FIELDS = ("title", "ns", "text", "timestamp", "model")


class NoDump(ValueError):
    """The file is no dump of a wiki, or is damaged; the message says where."""


@dataclass(frozen=True)
class WikiPage:
    """A page of a dump. number: its place in the dump, from 1. text: None where it is too large."""

    number: int
    url: str
    text: str | None
    date: str
    skipped: str = ""


def read_dump(stream: BinaryIO, namespaces: Collection[int], max_bytes: int) -> Iterator[WikiPage]:
    """The pages of a dump that is unpacked already.

    Redirects, pages outside `namespaces` and pages that are not wiki text (such as JSON) come out
    with the word that tells what they are as `skipped`, without text. Raises NoDump.
    """
    dump = _Dump(max_bytes)
    wanted = {str(number) for number in namespaces}
    for number, page in enumerate(dump.read(stream), start=1):
        skipped = _skipped(page, wanted)
        too_large = page.length > max_bytes
        yield WikiPage(
            number,
            dump.address(page.fields["title"]),
            None if skipped or too_large else strip("".join(page.text), dump.namespaces),
            page.fields["timestamp"],
            skipped,
        )
    if not dump.is_wiki:
        raise NoDump("the file is not a wiki dump")


@dataclass
class _Page:
    """A page while it is read. length: of its text so far (bytes, at least)."""

    fields: dict[str, str] = field(default_factory=lambda: dict.fromkeys(_FIELDS, ""))
    text: list[str] = field(default_factory=list)
    length: int = 0
    is_redirect: bool = False


def _skipped(page: _Page, wanted: Collection[str]) -> str:
    """Why a page is none to read, or nothing."""
    if page.is_redirect or (page.length < _MAX_FIELD and _REDIRECT.match("".join(page.text))):
        return "redirect"
    if page.fields["ns"].strip() not in wanted:
        return "other_namespace"
    if page.fields["model"].strip() not in ("", "wikitext"):
        return "no_wikitext"
    return ""


class _Dump:
    """Takes what the XML parser finds and keeps one page at a time."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.is_wiki = False
        self.base = ""
        self.namespaces: set[str] = set()
        self.page: _Page | None = None
        self.finished: list[_Page] = []
        self.name = ""  # of the innermost element
        self.namespace_key = ""
        self.words: list[str] = []

    def read(self, stream: BinaryIO) -> Iterator[_Page]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._entity
        while True:
            chunk = stream.read(_CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                yield from self.finished
                raise NoDump(f"the XML is damaged: {error}") from error
            yield from self.finished
            self.finished.clear()
            if not chunk:
                return

    def address(self, title: str) -> str:
        """The page's address, as the wiki writes it."""
        safe = "/:@!$*(),;~-._"
        return f"{self.base}/{quote(title.strip().replace(' ', '_'), safe=safe)}"

    def _entity(self, name: str, *more: Any) -> None:
        raise NoDump(f"the XML defines an entity ({name}), which no dump does")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.is_wiki and name != "mediawiki":
            raise NoDump(f"the XML is not a wiki dump: it begins with <{name}>")
        self.is_wiki = True
        self.name = name
        self.words = []
        if name == "page":
            self.page = _Page()
        elif name == "redirect" and self.page is not None:
            self.page.is_redirect = True
        elif name == "namespace":
            self.namespace_key = attributes.get("key", "")
        elif name == "revision" and self.page is not None:
            # Of a page with its history, the last revision counts.
            self.page.text.clear()
            self.page.length = 0

    def _characters(self, data: str) -> None:
        if self.page is not None and self.name == "text":
            self.page.length += (
                len(data) if data.isascii() else len(data.encode("utf-8", "replace"))
            )
            if self.page.length <= self.max_bytes:
                self.page.text.append(data)
        elif sum(map(len, self.words)) < _MAX_FIELD:
            self.words.append(data[:_MAX_FIELD])

    def _end(self, name: str) -> None:
        words = "".join(self.words)
        if name == "page" and self.page is not None:
            self.finished.append(self.page)
            self.page = None
        elif self.page is not None and name in _FIELDS and name == self.name:
            self.page.fields[name] = words
        elif name == "base" and self.page is None:
            self.base = words.strip().rpartition("/")[0]
        elif name == "namespace" and self.namespace_key in _DROPPED_NAMESPACES and words.strip():
            self.namespaces.add(words.strip().lower())
        self.name = ""
        self.words = []
