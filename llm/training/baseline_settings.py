"""How the baselines that are trained are trained."""

from typing import Literal

from llm.models.baselines.config import CNNSettings, LSTMSettings
from llm.settings import section, setting

PARTS = 2  # partial gradients of a step


@section
class BudgetSettings:
    """How much a baseline is trained. Modest by default: minutes on two cores."""

    tokens: int = setting(
        default=2_000_000,
        description="How much to train on, repeating the corpus as needed (tokens, rounded up to whole steps).",
        gt=0,
    )
    context_length: int = setting(
        default=256, description="Row that is trained on at once (tokens).", ge=2
    )
    batch_rows: int = setting(
        default=16, description="Rows of one optimizer step (count).", ge=PARTS
    )
    peak_lr: float = setting(default=0.004, description="Highest learning rate (no unit).", gt=0)
    weight_decay: float = setting(
        default=0.1, description="Decoupled decay of matrices, times the learning rate.", ge=0
    )
    precision: Literal["auto", "bf16", "fp32"] = setting(
        default="auto",
        description="Type of activations; auto: bf16 where the hardware multiplies it, else fp32.",
    )
    seed: int = setting(
        default=1, description="Seed of the first weights and of the order of rows.", ge=0
    )

    @property
    def batch_tokens(self) -> int:
        """Tokens of one step."""
        return self.batch_rows * self.context_length

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
