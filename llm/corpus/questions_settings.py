"""How conversations are derived from documents."""

from llm.settings import section, setting

BUILTIN = "builtin:python-questions"


@section
class QuestionSettings:
    """Which conversations to learn from and which to hold out."""

    data: str = setting(
        default=BUILTIN,
        description=f"{BUILTIN}, or JSONL files of conversations (a path, * allowed).",
        path="file",
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
        description="Digests of the addresses of conversations that were taken down; filled in from "
        "the takedown list.",
    )
