"""One fetched page to what is known of it: text, language, licence, opt-outs. Imports little."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llm.corpus.language import identify, load
from llm.corpus.reading.html import Engine, Unreadable, decode, read_html, tidy
from llm.corpus.reading.rights import rights

HTML_TYPES = ("", "text/html", "application/xhtml+xml")
TEXT_TYPES = ("text/plain", "text/markdown", "text/x-rst")


class Page(NamedTuple):
    """A fetched page and how it is to be read.

    status: of HTTP, 0 without. charset: as declared by the server, None where it is not.
    headers: the lines of those that speak of rights.
    """

    payload: bytes
    url: str
    status: int
    content_type: str
    charset: str | None
    headers: Mapping[str, Sequence[str]]
    engine: Engine
    min_characters: int
    max_page_bytes: int


class PageText(NamedTuple):
    """What a page gave, with the name of the engine that read it."""

    text: str
    engine: str
    language: str
    language_score: float
    licence: str
    opt_out: str


class Refused(NamedTuple):
    """A page without a document, and why."""

    reason: str


def read_page(page: Page) -> PageText | Refused:
    """Read one page, or say why there is nothing to read."""
    try:
        return _read(page)
    except Unreadable as error:
        return Refused(error.reason)


def warm_up() -> None:
    """Load the language models: once for all workers that are forked from here."""
    load()


def _read(page: Page) -> PageText:
    if len(page.payload) > page.max_page_bytes:
        raise Unreadable("page_too_large")
    if page.status and not 200 <= page.status < 300:
        raise Unreadable(f"http_{page.status}")
    html = ""
    engine: str
    if page.content_type in TEXT_TYPES:
        text, engine = tidy(decode(page.payload, page.charset)), "plain"
    elif page.content_type in HTML_TYPES:
        html = decode(page.payload, page.charset)
        text, engine = read_html(html, page.url, page.engine)
    else:
        raise Unreadable("not_a_text_page")
    if len(text) < page.min_characters:
        raise Unreadable("no_text" if not text else "text_too_short")
    language = identify(text)
    said = rights(html, page.headers)
    return PageText(text, engine, language.code, language.score, said.licence, said.opt_out)
