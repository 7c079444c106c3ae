"""What a decoder is made of: the recipe's section, and the same with nothing left open."""

from dataclasses import dataclass
from typing import Literal

from llm.settings import section, setting

HEAD_DIM = 64  # what heads are made of when a recipe does not say: fast on CPUs and GPUs alike


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Every size of a decoder, resolved (see ModelSettings for what the fields mean)."""

    vocabulary: int
    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    context_length: int
    rope_theta: float
    norm_epsilon: float
    tie_embeddings: bool
    qk_norm: bool

    @property
    def matrix_parameters(self) -> int:
        """Parameters that take part in a matrix product for every token (the head included)."""
        attention = self.d_model * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.d_model * self.hidden) + (
            self.vocabulary * self.d_model
        )

    def training_flops_per_token(self, length: int) -> int:
        """Floating-point operations of forward and backward for one token of a row of `length`.

        6 per matrix parameter, and 6 * heads * head_dim * length a layer for causal attention
        (half of the 12 of full attention; PaLM, arXiv 2204.02311, appendix B).
        """
        attention = 6 * self.layers * self.heads * self.head_dim * length
        return 6 * self.matrix_parameters + attention


@section
class ModelSettings:
    """The decoder's shape. What is left out is derived from d_model."""

    preset: Literal["qwen3", "llama"] = setting(
        default="qwen3",
        description="Architecture: qwen3 normalises queries and keys (QK-norm), llama does not.",
    )
    layers: int = setting(default=4, description="Transformer blocks (count).", ge=1)
    d_model: int = setting(
        default=256, description="Width of the residual stream (elements).", ge=2
    )
    heads: int | None = setting(
        default=None,
        description="Query heads (count); none: one per 64 elements of d_model, at least one.",
        ge=1,
    )
    kv_heads: int | None = setting(
        default=None,
        description="Key and value heads (count), a divisor of heads; none: as many as heads.",
        ge=1,
    )
    head_dim: int | None = setting(
        default=None, description="Width of a head (elements, even); none: d_model / heads.", ge=2
    )
    hidden: int | None = setting(
        default=None,
        description="Inner width of the feed-forward layer (elements); none: 8/3 of d_model, rounded up to a "
        "multiple of 64.",
        ge=1,
    )
    context_length: int = setting(
        default=256, description="Longest row that the model is trained on (tokens).", ge=2
    )
    rope_theta: float = setting(
        default=10_000.0, description="Base of the rotary positions (no unit).", gt=0
    )
    norm_epsilon: float = setting(
        default=1e-6, description="Added to the mean square in RMSNorm (no unit).", gt=0
    )
    tie_embeddings: bool = setting(
        default=True, description="Whether the head is the embedding matrix (true, false)."
    )

    def __post_init__(self) -> None:
        heads = self.resolved_heads
        if self.head_dim is None and self.d_model % heads:
            raise ValueError(
                f"model: d_model {self.d_model} is not a multiple of heads {heads}; "
                "choose one that is, or give head_dim"
            )
        if self.resolved_head_dim % 2:
            raise ValueError(
                f"model: a head is {self.resolved_head_dim} wide (d_model {self.d_model}, heads "
                f"{heads}); rotary positions need an even head_dim"
            )
        if self.kv_heads is not None and heads % self.kv_heads:
            raise ValueError(
                f"model: kv_heads {self.kv_heads} does not divide heads {heads}; "
                f"allowed: {', '.join(str(n) for n in range(1, heads + 1) if heads % n == 0)}"
            )

    @property
    def resolved_heads(self) -> int:
        """Query heads, derived from d_model when not given."""
        return self.heads or max(1, self.d_model // (self.head_dim or HEAD_DIM))

    @property
    def resolved_head_dim(self) -> int:
        """Width of a head, derived from d_model and heads when not given."""
        return self.head_dim or self.d_model // self.resolved_heads

    def resolve(self, vocabulary: int) -> DecoderConfig:
        """The full configuration for a tokenizer of `vocabulary` tokens."""
        return DecoderConfig(
            vocabulary=vocabulary,
            layers=self.layers,
            d_model=self.d_model,
            heads=self.resolved_heads,
            kv_heads=self.kv_heads or self.resolved_heads,
            head_dim=self.resolved_head_dim,
            hidden=self.hidden or -(-self.d_model * 8 // 3 // 64) * 64,
            context_length=self.context_length,
            rope_theta=self.rope_theta,
            norm_epsilon=self.norm_epsilon,
            tie_embeddings=self.tie_embeddings,
            qk_norm=self.preset == "qwen3",
        )
