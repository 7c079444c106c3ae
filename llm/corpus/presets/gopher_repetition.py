"""The preset `gopher_repetition`: how much a text repeats itself."""

from llm.settings import section, setting


@section
class GopherRepetition:
    """How much a text repeats itself: Gopher's repetition filter (A.1.1), all fractions."""

    max_duplicate_lines: float | None = setting(
        default=0.3, description="Most repeated lines (fraction).", ge=0, le=1
    )
    max_duplicate_line_characters: float | None = setting(
        default=0.2, description="Most characters in repeated lines (fraction).", ge=0, le=1
    )
    max_duplicate_paragraphs: float | None = setting(
        default=0.3, description="Most repeated paragraphs (fraction).", ge=0, le=1
    )
    max_duplicate_paragraph_characters: float | None = setting(
        default=0.2, description="Most characters in repeated paragraphs (fraction).", ge=0, le=1
    )
    max_top_2_gram: float | None = setting(
        default=0.20, description="Most characters in the commonest 2 words.", ge=0
    )
    max_top_3_gram: float | None = setting(
        default=0.18, description="Most characters in the commonest 3 words.", ge=0
    )
    max_top_4_gram: float | None = setting(
        default=0.16, description="Most characters in the commonest 4 words.", ge=0
    )
    max_duplicate_5_grams: float | None = setting(
        default=0.15, description="Most characters in repeated 5-grams.", ge=0
    )
    max_duplicate_6_grams: float | None = setting(
        default=0.14, description="Most characters in repeated 6-grams.", ge=0
    )
    max_duplicate_7_grams: float | None = setting(
        default=0.13, description="Most characters in repeated 7-grams.", ge=0
    )
    max_duplicate_8_grams: float | None = setting(
        default=0.12, description="Most characters in repeated 8-grams.", ge=0
    )
    max_duplicate_9_grams: float | None = setting(
        default=0.11, description="Most characters in repeated 9-grams.", ge=0
    )
    max_duplicate_10_grams: float | None = setting(
        default=0.10, description="Most characters in repeated 10-grams.", ge=0
    )
