"""How a trained baseline is measured."""

from typing import Literal

from llm.evaluation.perplexity_settings import PerplexitySettings
from llm.settings import section, setting


@section
class MeasureTrained:
    """What the step is given: which baseline it is, and how text is scored."""

    baseline: Literal["lstm", "cnn"] = setting(description="Which baseline it is.")
    context_length: int = setting(description="Row that it was trained on (tokens).", ge=2)
    settings: PerplexitySettings = setting(
        default=PerplexitySettings, description="How text is scored."
    )
