"""What a section of the report shows, as data: `llm.evaluation.report` makes a page of it.

Suites say in these words what they measured, so that another look of the page measures nothing again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Colour = Literal["ours", "plain", "loss"]


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, what stands at its end, and its colour."""

    name: str
    value: float
    text: str
    colour: Colour = "plain"


@dataclass(frozen=True)
class Bars:
    """A picture of horizontal bars from top to bottom. words: what it shows, for who cannot see it."""

    rows: Sequence[Bar]
    unit: str
    words: str


@dataclass(frozen=True)
class Curve:
    """A line: its name, x and y of the same length, and its colour."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: Colour = "ours"


@dataclass(frozen=True)
class Curves:
    """A picture of lines over each other. words: what it shows, for who cannot see it."""

    lines: Sequence[Curve]
    x_label: str
    y_label: str
    words: str


@dataclass(frozen=True)
class Table:
    """A table whose first column is names and whose others are numbers. marked: rows that stand out."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Definitions:
    """Names and what they are, one below the other."""

    rows: Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Text:
    """What a model wrote: on from the prompt, or as the answer to it.

    ended: it stopped by itself. reference: the right answer, where it is known.
    """

    model: str
    prompt: str
    text: str
    ended: bool
    answers: bool
    reference: str | None = None


@dataclass(frozen=True)
class Texts:
    """Texts of models, beside each other."""

    texts: Sequence[Text]


@dataclass(frozen=True)
class Stretch:
    """Text of a training row. kind: whether it is learned, only read, or was cut off."""

    kind: Literal["trained", "masked", "cut"]
    text: str


@dataclass(frozen=True)
class Row:
    """A training row: its examples one after the other, each with where it was read."""

    name: str
    examples: Sequence[tuple[str, Sequence[Stretch]]]
    more: int = 0
    """Further examples of the row that are not shown."""


@dataclass(frozen=True)
class Rows:
    """Training rows in colours, with a legend above them."""

    rows: Sequence[Row]


Part = Bars | Curves | Table | Definitions | Texts | Rows


@dataclass(frozen=True)
class Card:
    """A figure that one looks for first, and what it is."""

    figure: str
    label: str


@dataclass(frozen=True)
class Section:
    """A section of the report: a heading, a note below it, and what is inside.

    cards: what stands above all sections. metrics: figures of its own for programs, by name.
    wide: as wide as the page, below the columns. content: whether it is part of the report's content
    (when a model was made is not).
    """

    title: str
    note: str = ""
    parts: Sequence[Part] = ()
    cards: Sequence[Card] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    wide: bool = False
    content: bool = True
