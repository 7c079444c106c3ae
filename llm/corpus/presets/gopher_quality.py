"""The preset `gopher_quality`: what prose looks like."""

from llm.settings import section, setting


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
