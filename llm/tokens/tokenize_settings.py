"""How documents are turned into token shards."""

from llm.settings import section, setting


@section
class ValidationSettings:
    """Which documents are held out from the tokenizer and from training."""

    fraction: float = setting(
        default=0.05,
        description="Share of the URLs held out for validation (0 to 1); a page and its duplicates stay "
        "together, and on their side when documents are added or edited.",
        ge=0,
        lt=1,
    )


@section
class TokenizeSettings:
    """How documents are encoded and split."""

    validation: ValidationSettings = setting(
        default=ValidationSettings, description="What is held out."
    )
