"""From bytes to clean text: encodings, extractors and tidying up."""

import re
import unicodedata

from llm.corpus.reading import charset
from llm.corpus.reading.article import read_article
from llm.corpus.reading.blocks import prose
from llm.corpus.reading.engine import Engine
from llm.corpus.reading.mojibake import repair
from llm.corpus.reading.others import by_resiliparse, by_trafilatura

# Where the fast reader doubts itself, trafilatura is believed unless it finds so much less.
MUCH_LESS = 0.5

# Control characters other than tab and newline, zero-width and direction marks, private use.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


class Unreadable(ValueError):
    """A page that gives no document; `reason` is one word for the table of drops."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no text: {reason}")
        self.reason = reason


def decode(data: bytes, declared: str | None) -> str:
    """Bytes as text, as `charset.read` has it. declared: the charset that the server named."""
    return charset.read(data, declared).text


def read_html(html: str, url: str, engine: Engine) -> tuple[str, str]:
    """The main text of an HTML page and the extractor that gave it. Raises Unreadable."""
    if "\0" in html[:1024]:
        raise Unreadable("binary")
    if engine == "trafilatura":
        return _found(tidy(by_trafilatura(html, url))), "trafilatura"
    if engine == "resiliparse":
        return _found(tidy(by_resiliparse(html))), "resiliparse"
    reading = read_article(html)
    text = tidy(reading.text)
    if engine == "auto" and not text:
        return _found(tidy(by_resiliparse(html))), "resiliparse"
    if engine == "auto" and reading.doubtful:
        thorough = tidy(by_trafilatura(html, url))
        if is_better(thorough, text):
            return thorough, "trafilatura"
    return _found(text), "blocks"


def is_better(second: str, first: str) -> bool:
    """Whether a second opinion holds about as much prose as the first, and is not a list of links."""
    if len(second) <= MUCH_LESS * len(first):
        return False
    found = sum(prose("p", line, 0) for line in second.split("\n"))
    had = sum(prose("p", line, 0) for line in first.split("\n"))
    return found >= MUCH_LESS * had and found * len(first) >= MUCH_LESS * had * len(second)


def tidy(text: str) -> str:
    """Text as it was meant: wrongly decoded characters repaired, plain line ends and spaces.

    Nothing invisible, characters composed (NFC).

    Indentation stays; white space at line ends goes; at most one blank line in a row.
    """
    text = _LINE_ENDS.sub("\n", repair(text))
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SPACES.sub(" ", text))
        text = text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8
    # Most texts have neither, and looking for each blank before a line's end takes long.
    if " \n" in text or "\t\n" in text or text[-1:] in (" ", "\t"):
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def _found(text: str) -> str:
    if not text.strip():
        raise Unreadable("no_text")
    return text
