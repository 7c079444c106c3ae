"""The preset `fineweb`: lists, menus and torn lines."""

from llm.settings import section, setting


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
