"""When a model becomes the champion."""

from llm.settings import section, setting


@section
class PromoteSettings:
    """When the champion pointer moves."""

    metric: str = setting(
        default="perplexity.bits_per_byte",
        description="What must be lower: perplexity.bits_per_byte, or perplexity.SOURCE.bits_per_byte for the "
        "documents of one source (bits per byte).",
        pattern=r"^perplexity\.(.+\.)?bits_per_byte$",
    )
    confidence: float = setting(
        default=0.95,
        description="How sure it must be that the candidate is better (0.5 to 1).",
        ge=0.5,
        lt=1,
    )
