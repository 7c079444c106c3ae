"""The preset `fineweb2`: one set of rules for every language."""

from llm.corpus.presets.fineweb import FineWeb
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.corpus.presets.gopher_repetition import GopherRepetition
from llm.settings import section, setting


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
