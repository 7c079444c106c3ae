"""What the report's page is made of: style, sections, tables, pictures. No other file is needed."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

STYLE = """
:root { --ink: #1d2733; --muted: #5f6b7a; --line: #e3e8ee; --ours: #0b6e8f; --paper: #ffffff }
* { box-sizing: border-box }
body { margin: 0; background: #f3f5f8; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 1.5rem 1rem 4rem }
header { margin: .5rem 0 1.25rem }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 }
h2 { font-size: 1.15rem; margin: 0 0 .25rem }
header p, .note { color: var(--muted); font-size: .9rem; margin: .25rem 0 .75rem }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  margin-bottom: 1rem }
.card, section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px }
.card { padding: .8rem 1rem }
.card b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums }
.card span { color: var(--muted); font-size: .85rem }
.columns { columns: 2 24rem; column-gap: 1rem; margin-bottom: 1rem }
section { padding: 1.1rem 1.2rem; margin-bottom: 1rem; break-inside: avoid }
img { display: block; width: 100%; height: auto; margin: .5rem 0 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top }
th { color: var(--muted); font-weight: 500 }
.number { text-align: right; white-space: nowrap; padding-left: .6rem }
tr.ours td { color: var(--ours); font-weight: 600 }
.samples { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)) }
article { border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; min-width: 0 }
article p { margin: .3rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem }
article .text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .82rem }
article .reference { color: var(--muted) }
.tag { font-size: .75rem; color: var(--ours); font-weight: 600 }
dl { display: grid; grid-template-columns: minmax(7rem, 14rem) 1fr; gap: .35rem 1rem; margin: 0;
  font-size: .9rem }
dt { color: var(--muted) }
dd { margin: 0; overflow-wrap: anywhere }
th { overflow-wrap: break-word } th.number { white-space: normal }
td:first-child { overflow-wrap: anywhere; min-width: 6rem }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .6rem }
  main { padding: 1rem .6rem 3rem } section { padding: .9rem .8rem } table { font-size: .82rem }
  .number { padding-left: .3rem } th, td { padding-right: .3rem } }
"""

OURS = ' class="ours"'


def section(title: str, note: str, inside: str) -> str:
    """A section of the page: heading, a note below it, and what is inside."""
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{below}{inside}</section>"


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
