"""What the simple models are made of: the recipe's sections, and sizes with nothing left open.

Without torch, so that a recipe is read quickly.
"""

from dataclasses import dataclass

from llm.settings import section, setting


@section
class KneserNeySettings:
    """Interpolated modified Kneser-Ney over tokens."""

    order: int = setting(
        default=5,
        description="Tokens of the longest n-gram, the predicted one included (count).",
        ge=1,
        le=12,
    )


@section
class HMMSettings:
    """A hidden Markov model that emits tokens, fitted by expectation-maximisation."""

    states: int = setting(default=64, description="Hidden states (count).", ge=1)
    iterations: int = setting(
        default=30, description="Passes of expectation-maximisation over the text (count).", ge=1
    )
    tokens: int | None = setting(
        default=2_000_000,
        description="Training text that is fitted, at most, whole documents (tokens); none: all of it.",
        gt=0,
    )
    smoothing: float = setting(
        default=10.0,
        description="Tokens that every state is taken to have emitted beforehand, spread as all text's are "
        "(count).",
        gt=0,
    )
    seed: int = setting(default=1, description="Seed of the first probabilities.", ge=0)


@dataclass(frozen=True, kw_only=True)
class LSTMConfig:
    """Every size of an LSTM (see LSTMSettings for what the fields mean)."""

    vocabulary: int
    layers: int
    d_model: int
    bptt: int
    dropout: float


@section
class LSTMSettings:
    """An LSTM's shape."""

    layers: int = setting(default=2, description="LSTM layers (count).", ge=1)
    d_model: int = setting(
        default=256, description="Width of embeddings, which are the head too, and of cells.", ge=1
    )
    bptt: int = setting(
        default=64,
        description="How far gradients go back at most; the state goes on (tokens).",
        ge=1,
    )
    dropout: float = setting(
        default=0.0,
        description="Share of a layer's inputs and of the output that training hides (0 up to 1).",
        ge=0,
        lt=1,
    )

    def resolve(self, vocabulary: int) -> LSTMConfig:
        """The full configuration for a tokenizer of `vocabulary` tokens."""
        return LSTMConfig(
            vocabulary=vocabulary,
            layers=self.layers,
            d_model=self.d_model,
            bptt=self.bptt,
            dropout=self.dropout,
        )


@dataclass(frozen=True, kw_only=True)
class CNNConfig:
    """Every size of a causal CNN (see CNNSettings for what the fields mean)."""

    vocabulary: int
    layers: int
    d_model: int
    kernel: int
    cycle: int

    @property
    def dilations(self) -> tuple[int, ...]:
        """Tokens between the taps of each layer's kernel."""
        return tuple(1 << layer % self.cycle for layer in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """How many tokens a prediction sees: the newest and those before it."""
        return 1 + (self.kernel - 1) * sum(self.dilations)


@section
class CNNSettings:
    """A causal CNN's shape."""

    layers: int = setting(default=8, description="Gated convolutions (count).", ge=1)
    d_model: int = setting(
        default=128, description="Width of embeddings, which are the head too, and of layers.", ge=1
    )
    kernel: int = setting(default=3, description="Tokens that a layer reads (count).", ge=2)
    cycle: int = setting(
        default=6,
        description="Layers after which the distance between those tokens, doubled from layer to layer, is 1 "
        "again (count).",
        ge=1,
        le=20,
    )

    def resolve(self, vocabulary: int) -> CNNConfig:
        """The full configuration for a tokenizer of `vocabulary` tokens."""
        return CNNConfig(
            vocabulary=vocabulary,
            layers=self.layers,
            d_model=self.d_model,
            kernel=self.kernel,
            cycle=self.cycle,
        )


ARCHITECTURES: dict[str, type[LSTMConfig] | type[CNNConfig]] = {
    "lstm": LSTMConfig,
    "cnn": CNNConfig,
}
