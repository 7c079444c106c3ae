"""When a model becomes the champion."""

from llm.evaluation.metric import FILLS_IN, parse
from llm.settings import section, setting


@section
class PromoteSettings:
    """When the champion pointer moves."""

    metric: str | None = setting(
        default=None,
        description="Figure that must be better: suite.model.figure, where model is base or a task's name, as "
        "in perplexity.base.bits_per_byte. A fourth part is a group of it: a source for perplexity, as in "
        "perplexity.base.bits_per_byte.docs, a task for answers. none: perplexity.base.bits_per_byte for a "
        "decoder, infilling.base.bits_per_byte for other architectures.",
    )
    confidence: float = setting(
        default=0.95,
        description="How sure it must be that the candidate is better (0.5 to 1).",
        ge=0.5,
        lt=1,
    )

    def __post_init__(self) -> None:
        try:
            parse(self.metric or FILLS_IN)
        except ValueError as error:
            raise ValueError(f"promote.metric: {error}") from None
