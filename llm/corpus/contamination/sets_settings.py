"""Which evaluation sets text is searched for."""

from typing import Literal

from llm.settings import section, setting


@section
class EvaluationSet:
    """One evaluation set that must not be trained on."""

    path: str = setting(
        description="A file, a folder or a pattern: JSON lines, a JSON array, Parquet, CSV or a text "
        "with an item a line; also with .gz, .zst, .xz or .bz2.",
        path="file",
        min_length=1,
    )
    fields: tuple[str, ...] = setting(
        default=(),
        description="Fields that make up an item's text, in order; dots lead into nested ones, and "
        "a list gives one text an element. Not for files of text.",
    )
    id: str = setting(
        default="id", description="Field that names an item; where it is missing, its number does."
    )


@section
class DecontaminateSettings:
    """Evaluation sets, and when a document has an item of them."""

    sets: dict[str, EvaluationSet] = setting(
        default=dict, description="Evaluation sets by name; none: nothing is looked for."
    )
    n: int = setting(
        default=13,
        description="Words in an n-gram (count); shorter items are looked for whole.",
        ge=5,
        le=50,
    )
    min_words: int = setting(
        default=3,
        description="Words of the shortest item that is looked for (count); of items of 3 and 4 words "
        "that are phrases of every day, one in five and one in fourteen stand in other text by chance.",
        ge=1,
        le=50,
    )
    min_overlap: float = setting(
        default=0.5,
        description="Least share of an item's words that lie in n-grams found together in a "
        "document (0 to 1).",
        gt=0,
        le=1,
    )
    action: Literal["drop", "cut"] = setting(
        default="drop", description="Drop the whole document, or cut the passage out of it."
    )
