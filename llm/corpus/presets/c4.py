"""The preset `c4`: whole sentences."""

from llm.settings import section, setting


@section
class C4:
    """Whole sentences: the filter of C4 (Raffel et al. 2020). It also cuts lines, see llm.corpus.text.c4."""

    min_c4_sentences: float | None = setting(
        default=5,
        description="Fewest sentences in the lines that are kept (count). Fixed: such lines have at "
        "least 3 words, none of more than 1,000 characters; in a script without spaces each letter "
        "is a word.",
        ge=0,
    )
    max_c4_lorem_ipsum: float | None = setting(
        default=0, description="Most lines with lorem ipsum (count).", ge=0
    )
    max_c4_curly_brackets: float | None = setting(
        default=0, description="Most lines with a { (count).", ge=0
    )
    terminal_punctuation: bool = setting(
        default=True,
        description="Keep only lines that end in . ? ! or a quotation mark, or in another script's "
        "full stop (FineWeb: false).",
    )
    any_end_languages: tuple[str, ...] = setting(
        default=("lo", "th"),
        description="Languages whose lines may end in anything (ISO 639 codes): those without a "
        "full stop.",
    )
