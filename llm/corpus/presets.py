"""Sets of rules that tell prose from the rest, under the names and thresholds they were published with.

A rule is a field named `min_` or `max_` and a signal: the field's value is the bound, and null
switches the rule off.
"""

from typing import Literal

from llm.settings import section, setting

Preset = Literal["c4", "gopher_quality", "gopher_repetition", "fineweb", "fineweb2"]


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


@section
class GopherQuality:
    """What prose looks like: Gopher's quality filter (Rae et al. 2021, A.1.1)."""

    min_words: float | None = setting(default=50, description="Fewest words (count).", ge=0)
    max_words: float | None = setting(default=100_000, description="Most words (count).", gt=0)
    min_mean_word_length: float | None = setting(
        default=3, description="Shortest mean word (characters).", ge=0
    )
    max_mean_word_length: float | None = setting(
        default=10, description="Longest mean word (characters).", gt=0
    )
    max_hash_per_word: float | None = setting(
        default=0.1, description="Most # signs for each word (ratio).", ge=0
    )
    max_ellipsis_per_word: float | None = setting(
        default=0.1, description="Most ellipses a word (ratio).", ge=0
    )
    max_bullet_lines: float | None = setting(
        default=0.9, description="Most lines that begin with a bullet (fraction).", ge=0, le=1
    )
    max_ellipsis_lines: float | None = setting(
        default=0.3, description="Most lines that end in an ellipsis (fraction).", ge=0, le=1
    )
    min_letter_words: float | None = setting(
        default=0.8, description="Fewest words with a letter (fraction).", ge=0, le=1
    )
    min_stop_words: float | None = setting(
        default=2, description="Fewest different stop words of its language (count).", ge=0
    )


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


@section
class FineWeb:
    """Lists, menus and torn lines: the filter of FineWeb (Penedo et al. 2024), as its code has it."""

    min_terminal_lines: float | None = setting(
        default=0.12, description="Fewest lines that end a sentence (fraction).", ge=0, le=1
    )
    max_short_lines: float | None = setting(
        default=0.67,
        description="Most lines of at most 30 characters, a fixed number (fraction).",
        ge=0,
        le=1,
    )
    max_duplicate_line_characters: float | None = setting(
        default=0.01, description="Most characters in repeated lines (fraction).", ge=0, le=1
    )
    max_newlines_per_word: float | None = setting(
        default=0.3, description="Most line ends for each token (ratio).", ge=0
    )


@section
class FineWeb2(GopherQuality, GopherRepetition, FineWeb):
    """One set for every language (Penedo et al. 2025): no rules on short lines or paragraphs."""

    max_short_lines: float | None = setting(
        default=None,
        description="Most lines of at most 30 characters, a fixed number (fraction).",
        ge=0,
        le=1,
    )
    max_duplicate_line_characters: float | None = setting(
        default=0.1, description="Most characters in repeated lines (fraction).", ge=0, le=1
    )
    max_duplicate_paragraphs: float | None = setting(
        default=None, description="Most repeated paragraphs (fraction).", ge=0, le=1
    )
    max_duplicate_paragraph_characters: float | None = setting(
        default=None, description="Most characters in repeated paragraphs (fraction).", ge=0, le=1
    )


@section
class Models:
    """Bounds on what the user's own models say (clean.signals names them)."""

    min_quality: float | None = setting(
        default=None, description="Lowest probability of good text.", ge=0, le=1
    )
    max_perplexity: float | None = setting(
        default=None, description="Highest perplexity of a byte (1 to 256).", ge=1
    )


# What differs for languages with short words or no full stop. It goes before a preset's thresholds
# where those were left as they are, and after what the user gives for the language.
_SHORT: dict[str, float | None] = {"min_mean_word_length": 1, "max_short_lines": None}
_SYLLABIC: dict[str, float | None] = {
    "min_mean_word_length": 2,
    "min_terminal_lines": None,
    "min_c4_sentences": None,
}
BUILT_IN: dict[str, dict[str, float | None]] = {
    "zh": _SHORT,
    "ja": _SHORT,
    "ko": {"min_mean_word_length": 2},
    "th": _SYLLABIC,
    "lo": _SYLLABIC,
    "km": {"min_mean_word_length": 2},
    "my": {"min_mean_word_length": 2},
    "bo": {"min_mean_word_length": 2},
}
