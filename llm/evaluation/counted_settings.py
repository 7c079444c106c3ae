"""How the baselines that count are measured."""

from llm.models.baselines.config import HMMSettings, KneserNeySettings
from llm.settings import section, setting


@section
class MeasureKneserNey:
    """What the step is given: the settings, and how much is scored."""

    settings: KneserNeySettings = setting(
        default=KneserNeySettings, description="How the n-grams are made."
    )
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
        gt=0,
    )


@section
class MeasureHMM:
    """What the step is given: the settings, and how much is scored."""

    settings: HMMSettings = setting(default=HMMSettings, description="How the model is fitted.")
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
        gt=0,
    )
