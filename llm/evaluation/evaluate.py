"""The recipe's section for the stage evaluate: which suites run, and the settings of each."""

from typing import Literal

from llm.evaluation.answers_settings import AnswerSettings
from llm.evaluation.baselines_settings import ALL_BASELINES, Baseline
from llm.evaluation.perplexity_settings import PerplexitySettings
from llm.evaluation.samples_settings import SampleSettings
from llm.models.baselines.config import HMMSettings, KneserNeySettings
from llm.settings import section, setting
from llm.training.baseline_settings import CNNBaseline, LSTMBaseline

Suite = Literal["perplexity", "answers", "samples"]
TokenBaseline = Literal["kneser_ney", "hmm", "lstm", "cnn"]


@section
class EvaluateSettings:
    """What is measured of the models, and beside what. The report is always written."""

    suites: tuple[Suite, ...] = setting(
        default=("perplexity", "answers", "samples"),
        description="perplexity: bits per byte of the validation text; answers: loss on held-out answers of "
        "fine-tuned models; samples: text that the models write.",
    )
    baselines: tuple[Baseline | TokenBaseline, ...] = setting(
        default=ALL_BASELINES,
        description="Simple methods measured on the same validation text (bits per byte). Over bytes: uniform, "
        "bigram, ngram5, xz, xz_primed. Over the model's own training tokens, when asked for: "
        "kneser_ney, hmm, lstm, cnn.",
    )
    kneser_ney: KneserNeySettings = setting(
        default=KneserNeySettings, description="The baseline kneser_ney."
    )
    hmm: HMMSettings = setting(default=HMMSettings, description="The baseline hmm.")
    lstm: LSTMBaseline = setting(default=LSTMBaseline, description="The baseline lstm.")
    cnn: CNNBaseline = setting(default=CNNBaseline, description="The baseline cnn.")
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

    @property
    def byte_baselines(self) -> tuple[Baseline, ...]:
        """Those of the baselines that work on bytes, in the recipe's order."""
        chosen = [name for name in ALL_BASELINES if name in self.baselines]
        return tuple(sorted(chosen, key=self.baselines.index))
