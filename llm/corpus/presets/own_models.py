"""Bounds on what the user's own models say of a text."""

from llm.settings import section, setting


@section
class Models:
    """Bounds on what the user's own models say (clean.signals names them)."""

    min_quality: float | None = setting(
        default=None, description="Lowest probability of good text.", ge=0, le=1
    )
    max_perplexity: float | None = setting(
        default=None, description="Highest perplexity of a byte (1 to 256).", ge=1
    )
