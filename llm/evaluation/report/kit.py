"""What the report's page is made of: sections as HTML, with the pictures inside."""

import base64
from collections.abc import Iterable, Sequence
from functools import singledispatch
from html import escape
from typing import Any

from llm.evaluation.report import plots
from llm.evaluation.section import (
    Bars,
    Card,
    Curves,
    Definitions,
    Row,
    Rows,
    Section,
    Table,
    Text,
    Texts,
)
from llm.words import counted

OURS = ' class="ours"'


def rendered(section: Section) -> str:
    """A section: heading, a note below it, and what is inside. Empty where there is neither."""
    if not section.note and not section.parts:
        return ""
    below = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    inside = "".join(map(part, section.parts))
    return f"<section><h2>{escape(section.title)}</h2>{below}{inside}</section>"


def cards(found: Sequence[Card]) -> str:
    """The few figures that one looks for first."""
    inside = "".join(
        f'<div class="card"><b>{escape(card.figure)}</b><span>{escape(card.label)}</span></div>'
        for card in found
    )
    return f'<div class="cards">{inside}</div>' if found else ""


@singledispatch
def part(what: Any) -> str:
    """A part of a section as HTML."""
    raise TypeError(f"a section of the report holds no {type(what).__name__}")


@part.register
def _(what: Bars) -> str:
    return image(plots.bars(what.rows, what.unit), what.words)


@part.register
def _(what: Curves) -> str:
    return image(plots.curves(what.lines, what.x_label, what.y_label), what.words)


@part.register
def _(what: Table) -> str:
    return table(what.header, what.rows, what.marked)


@part.register
def _(what: Definitions) -> str:
    return definitions(what.rows)


@part.register
def _(what: Texts) -> str:
    return f'<div class="samples">{"".join(map(_article, what.texts))}</div>'


LEGEND = (
    '<p class="legend"><mark class="trained">trained</mark> <mark class="masked">masked: read, not '
    'learned</mark> <mark class="cut">cut: longer than the context</mark> <span class="example">each box '
    "is another example</span></p>"
)


@part.register
def _(what: Rows) -> str:
    return LEGEND + "".join(map(_row, what.rows))


def _row(row: Row) -> str:
    """A training row, every character of it as it is: nothing is markup."""
    inside = ""
    for place, stretches in row.examples:
        text = "".join(f'<mark class="{one.kind}">{escape(one.text)}</mark>' for one in stretches)
        inside += f'<div class="example"><span class="tag">{escape(place)}</span>{text}</div>'
    if row.more:
        inside += f'<p class="note">and {counted(row.more, "example")} more in the row</p>'
    return f'<article class="row"><b>{escape(row.name)}</b>{inside}</article>'


def _article(text: Text) -> str:
    """What a model wrote, as it wrote it: nothing of it is markup."""
    tag = f'<span class="tag">{escape(text.model)}</span>'
    written = escape(text.text) + ("" if text.ended else "…")
    prompt = f"<b>{escape(text.prompt)}</b>"
    if text.answers:
        body = f'<p>{prompt}</p><p class="text">{written}</p>'
    else:
        body = f'<p class="text">{prompt}{written}</p>'
    if text.reference is not None:
        body += f'<p class="reference">Right answer: {escape(text.reference)}</p>'
    return f"<article>{tag}{body}</article>"


def image(png: bytes, words: str) -> str:
    """A picture inside the page; `words` say what it shows."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def definitions(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and what they are, one below the other."""
    inside = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in rows)
    return f"<dl>{inside}</dl>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[int] = ()) -> str:
    """A table whose first column is names and whose others are numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        first, *others = (escape(cell) for cell in cells)
        numbers = "".join(f'<{tag} class="number">{cell}</{tag}>' for cell in others)
        return f"<{tag}>{first}</{tag}>{numbers}"

    body = "".join(
        f"<tr{OURS if number in marked else ''}>{line(row, 'td')}</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{line(header, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
