"""Which examples a task or suite learns from, and what each of them holds."""

from typing import Literal

from llm.settings import section, setting

BUILTIN = "builtin:python-questions"


@section
class Column:
    """One typed column of example shards, filled from the field of the same name."""

    name: str = setting(description="Name of the column, and of the field in the user's files.")
    type: Literal["messages", "text"] = setting(
        description="messages: a conversation, a list of role and content; text: one text."
    )
    answer: bool = setting(
        default=False,
        description="Whether the column holds what the model is to say of the others, so that two examples "
        "may share it.",
    )


CONVERSATIONS = (Column(name="messages", type="messages"),)
"""The columns of a task that learns from conversations."""


@section
class ExampleSettings:
    """Which examples to learn from and which to hold out."""

    data: str = setting(
        default=BUILTIN,
        description=f"{BUILTIN}, or files of the user's own (a path, * allowed).",
        path="file",
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
