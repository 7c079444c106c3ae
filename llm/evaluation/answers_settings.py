"""What the suite answers is set to."""

from typing import Literal

from llm.settings import section, setting


@section
class AnswerSettings:
    """How held-out answers are scored."""

    questions: int = setting(
        default=1_000, description="Held-out conversations, at most (count): the first ones.", ge=1
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


@section
class MeasureAnswers:
    """What the step is given."""

    settings: AnswerSettings = setting(
        default=AnswerSettings, description="How held-out answers are scored."
    )
