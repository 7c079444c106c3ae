"""Which examples a task or suite learns from, and what each of them holds."""

from typing import Literal

from llm.settings import section, setting

BUILTIN = "builtin:python-questions"


@section
class Column:
    """One typed column of example shards, filled from a field of the user's rows."""

    name: str = setting(description="Name of the column.")
    type: Literal["messages", "turns", "text", "labels", "numbers"] = setting(
        description="messages: a conversation, a list of role and content; turns: a part of one, a list as that or "
        "a text; text: one text; labels: one label or several; numbers: one number or several."
    )
    answer: bool = setting(
        default=False,
        description="Whether the column holds what the model is to say of the others, so that two examples "
        "may share it.",
    )
    field: str | int | None = setting(
        default=None,
        description="The field of the user's rows, or the place of the cell in a table without a header (from "
        "1); none: the field of the column's name, or of another name that is usual for it.",
    )
    optional: bool = setting(
        default=False, description="Whether rows may do without; a text is empty then."
    )


CONVERSATIONS = (Column(name="messages", type="messages"),)
"""The columns of a task that learns from conversations."""

PREFERENCES = (
    Column(name="prompt", type="turns", optional=True),
    Column(name="chosen", type="turns", answer=True),
    Column(name="rejected", type="turns", answer=True),
)
"""The columns of a task that learns which of two answers is preferred."""

TEXTS = (Column(name="text", type="text"), Column(name="second", type="text", optional=True))
LABEL = Column(name="label", type="labels", answer=True)
VALUE = Column(name="value", type="numbers", answer=True)
"""The columns of tasks that learn labels or values of texts, or of pairs of them."""
PAIRS = (Column(name="source", type="text"), Column(name="target", type="text", answer=True))
"""The columns of a task that learns to translate."""


@section
class ExampleSettings:
    """Which examples to learn from and which to hold out."""

    data: str = setting(
        default=BUILTIN,
        description=f"{BUILTIN}, or files of the user's own (a path, * allowed).",
        path="file",
    )
    validation: str | None = setting(
        default=None,
        description="Files with the examples that are held out, taken as given; none: a share of data.",
        path="file",
    )
    test: str | None = setting(
        default=None, description="Files with examples for the last measurement.", path="file"
    )
    bad_rows: float = setting(
        default=0.0, description="Share of bad rows that is left out (0 to 1).", ge=0, le=1
    )
    columns: tuple[Column, ...] = setting(
        default=CONVERSATIONS,
        description="What an example holds: the columns that the task declares.",
        min_length=1,
    )
    validation_fraction: float = setting(
        default=0.05,
        description="Share of the pages, or of the questions, held out (0 to 1).",
        ge=0,
        lt=1,
    )
    answer_characters: int = setting(
        default=400,
        description="Longest derived answer (characters); longer ones end with a sentence.",
        ge=40,
    )
    erased: tuple[str, ...] = setting(
        default=(),
        description="Digests of the addresses of examples that were taken down; filled in from "
        "the takedown list.",
    )
