"""The report as one HTML page: style and pictures inside, readable on a phone and on a desk."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from llm.evaluation.report.kit import cards, rendered
from llm.evaluation.section import Section

DATA = ("style.css",)


class Page:
    """Sections in the order given: narrow ones in columns below the cards, wide ones below these."""

    def __init__(self, title: str, sections: Sequence[Section]) -> None:
        self.title, self.sections = title, sections
        self._rendered = [(section, rendered(section)) for section in sections]

    def html(self, content: bool = False) -> str:
        """The page. content: without what is no part of the report's content."""
        shown = [(one, text) for one, text in self._rendered if one.content or not content]
        columns = _lines(text for one, text in shown if not one.wide)
        wide = _lines(text for one, text in shown if one.wide)
        above = cards([card for one, _ in shown for card in one.cards])
        style = (Path(__file__).parent / DATA[0]).read_text("utf8")
        title = escape(self.title)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>Penstock: {title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
            f"<header><h1>{title}</h1><p>Penstock: what this run of the recipe found out.</p></header>\n"
            f'{above}\n<div class="columns">\n{columns}\n</div>\n{wide}\n'
            "</main>\n</body>\n</html>\n"
        )


def _lines(sections: Iterable[str]) -> str:
    return "\n".join(section for section in sections if section)
