"""The recipe's section for the stage evaluate: which suites run, and the settings of each."""

from typing import Literal

from llm.evaluation.answers import AnswerSettings
from llm.evaluation.baselines import ALL_BASELINES, Baseline
from llm.evaluation.perplexity import PerplexitySettings
from llm.evaluation.samples import SampleSettings
from llm.settings import section, setting

Suite = Literal["perplexity", "answers", "samples"]


@section
class EvaluateSettings:
    """What is measured of the models, and beside what. The report is always written."""

    suites: tuple[Suite, ...] = setting(
        default=("perplexity", "answers", "samples"),
        description="perplexity: bits per byte of the validation text; answers: loss on held-out answers of "
        "fine-tuned models; samples: text that the models write.",
    )
    baselines: tuple[Baseline, ...] = setting(
        default=ALL_BASELINES,
        description="Simple methods measured on the same validation text (bits per byte).",
    )
    perplexity: PerplexitySettings = setting(
        default=PerplexitySettings, description="How text is scored."
    )
    answers: AnswerSettings = setting(
        default=AnswerSettings, description="How held-out answers are scored."
    )
    samples: SampleSettings = setting(
        default=SampleSettings, description="What models are asked to write."
    )

    def __post_init__(self) -> None:
        for name in ("suites", "baselines"):
            chosen = getattr(self, name)
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"evaluate.{name} names something twice: {', '.join(chosen)}")
        if "perplexity" not in self.suites:
            raise ValueError("evaluate.suites needs perplexity: promote compares it")
