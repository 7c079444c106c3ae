"""How perplexity is measured."""

from typing import Literal

from llm.settings import section, setting


@section
class PerplexitySettings:
    """How validation text is scored. Every field is part of the metric's protocol."""

    context_length: int | None = setting(
        default=None,
        description="Tokens that the model sees at once (count); none: its own context length.",
        ge=2,
    )
    stride: int | None = setting(
        default=None,
        description="Tokens between the starts of windows (count); none: half the context.",
        ge=1,
    )
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
        gt=0,
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )

    def __post_init__(self) -> None:
        if self.stride and self.context_length and self.stride > self.context_length:
            raise ValueError(
                f"stride {self.stride} is more than context_length {self.context_length}: tokens "
                f"between two windows would not be scored"
            )


@section
class MeasurePerplexity:
    """What the step is given: the settings, and how the split was made."""

    settings: PerplexitySettings = setting(
        default=PerplexitySettings, description="How text is scored."
    )
    validation_fraction: float = setting(
        description="Share of documents that are held out (0 to 1).", gt=0, le=1
    )
