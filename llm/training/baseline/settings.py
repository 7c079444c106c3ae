"""How the baselines that are trained are trained."""

from llm.models.baselines.config import CNNSettings, LSTMSettings
from llm.settings import section, setting
from llm.training.optimisation import Optimisation
from llm.training.schedule import ScheduleSettings


@section
class BudgetSettings(Optimisation):
    """How much a baseline is trained. Modest by default: minutes on two cores."""

    tokens: int = setting(
        default=2_000_000,
        description="How much to train on, repeating the corpus as needed (tokens, rounded up to whole steps).",
        gt=0,
    )
    context_length: int = setting(
        default=256, description="Row that is trained on at once (tokens).", ge=2
    )
    schedule: ScheduleSettings = setting(
        default=lambda: ScheduleSettings(peak_lr=0.004, warmup_tokens=100_000, decay_fraction=0.5),
        description="The learning rate by step.",
    )

    def __post_init__(self) -> None:
        if self.batch_tokens % self.context_length or self.batch_rows < self.data_parallel:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} must be a multiple of context_length "
                f"{self.context_length}, and at least data_parallel {self.data_parallel} times that"
            )

    @property
    def batch_rows(self) -> int:
        """Rows of one step."""
        return self.batch_tokens // self.context_length

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return -(-self.tokens // self.batch_tokens)


@section
class LSTMBaseline:
    """The LSTM that stands beside the model."""

    model: LSTMSettings = setting(default=LSTMSettings, description="Its shape.")
    training: BudgetSettings = setting(default=BudgetSettings, description="How it is trained.")


@section
class CNNBaseline:
    """The causal CNN that stands beside the model."""

    model: CNNSettings = setting(default=CNNSettings, description="Its shape.")
    training: BudgetSettings = setting(default=BudgetSettings, description="How it is trained.")
