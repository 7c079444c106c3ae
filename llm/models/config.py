"""What a model is made of: the recipe's section, and the same with nothing left open."""

from dataclasses import dataclass
from typing import Literal

from llm.models import counting
from llm.parts import unkeyed
from llm.settings import section, setting

HEAD_DIM = 64  # what heads are made of when a recipe does not say: fast on CPUs and GPUs alike

Architecture = Literal["decoder", "encoder", "encoder_decoder"]
Norm = Literal["rmsnorm", "layernorm"]
NormPosition = Literal["pre", "post"]
Positions = Literal["rope", "learned"]
FeedForwardKind = Literal["swiglu", "gelu", "gelu_tanh", "relu2"]
Initialisation = Literal["identity", "normal"]
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
Pooling = Literal["first", "mean", "last"]
ENCODER_ONLY = ("token_types", "next_sentence", "head_transform")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a model says of a text that has a head for whole texts instead of one for tokens.

    problem: what transformers calls it. labels: the names of the outputs, in order. pooling: whose
    state tells the text.
    """

    problem: Problem
    labels: tuple[str, ...]
    pooling: Pooling


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Every size and choice of a model, resolved (see ModelSettings for what the fields mean)."""

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
    architecture: Architecture = "decoder"
    norm: Norm = "rmsnorm"
    norm_position: NormPosition = "pre"
    positions: Positions = "rope"
    feed_forward: FeedForwardKind = "swiglu"
    bias: bool = False
    window: int | None = None
    full_attention_every: int | None = None
    attention_soft_cap: float | None = None
    logit_soft_cap: float | None = None
    dropout: float = 0.0
    initialisation: Initialisation = "identity"
    token_types: int = 0
    next_sentence: bool = False
    head_transform: bool = False
    export: str | None = None  # the layout that it is written in; None: the first that it fits
    outputs: Outputs | None = None

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The sliding window of each layer (tokens); None where a layer sees everything."""
        every = self.full_attention_every
        return tuple(
            None if every and (layer + 1) % every == 0 else self.window
            for layer in range(self.layers)
        )

    @property
    def free_fields(self) -> frozenset[str]:
        """Fields in which a model may differ from the folder that its first weights come from."""
        free = {"dropout", "initialisation", "export", "outputs"}
        if self.positions == "rope":  # a table of rotary positions is made again for any length
            free.add("context_length")
        return frozenset(free)

    @property
    def parameters(self) -> int:
        """How many numbers are learned (a tied head counts once)."""
        return counting.parameters(self)

    @property
    def matrix_parameters(self) -> int:
        """Parameters that take part in a matrix product for a token (the head included)."""
        return counting.matrix_parameters(self)

    def training_flops_per_token(
        self, length: int, source_length: int | None = None, scored: float = 1.0
    ) -> int:
        """Floating-point operations of forward and backward: see `counting`."""
        return counting.training_flops_per_token(self, length, source_length, scored)


@section
class ModelSettings:
    """The model's shape. What is left out is the preset's, or derived from d_model."""

    # Fields that a preset decides have no default here and are filled in with it: once a section
    # is made, none of them is None any more.
    preset: str = setting(
        default="qwen3",
        decides=False,  # what it fills in does
        description="Where the defaults of all other fields come from. Styles whose sizes are free: qwen3 "
        "(normalises queries and keys), llama (does not), gpt2, bert, bart. With sizes: nanogpt-tiny, gpt2-small "
        "(124M), bert-base (110M), llama-60m, llama-350m, llama-1b.",
    )
    architecture: Architecture = setting(
        default=None,
        description="decoder (sees what comes before), encoder (sees everything, fills in what is hidden) or "
        "encoder_decoder (writes while seeing a source); none: the preset's.",
    )
    layers: int = setting(
        default=None,
        description="Transformer blocks (count; an encoder_decoder has as many on each side); none: the "
        "preset's, 4 for a style.",
        ge=1,
    )
    d_model: int = setting(
        default=None,
        description="Width of the residual stream (elements); none: the preset's, 256 for a style.",
        ge=2,
    )
    heads: int | None = setting(
        default=None,
        description="Query heads (count); none: the preset's, for a style one per 64 elements of d_model, at "
        "least one.",
        ge=1,
    )
    kv_heads: int | None = setting(
        default=None,
        description="Key and value heads (count), a divisor of heads; none: as many as heads.",
        ge=1,
    )
    head_dim: int | None = setting(
        default=None, description="Width of a head (elements); none: d_model / heads.", ge=2
    )
    hidden: int | None = setting(
        default=None,
        description="Inner width of the feed-forward layer (elements); none: 8/3 of d_model, rounded up to a "
        "multiple of 64, for swiglu, and 4 times d_model for the others.",
        ge=1,
    )
    context_length: int = setting(
        default=None,
        description="Longest row that the model is trained on (tokens); none: the preset's, 256 for a style.",
        ge=2,
    )
    norm: Norm = setting(
        default=None, description="How activations are normalised; none: the preset's."
    )
    norm_position: NormPosition = setting(
        default=None,
        description="pre: what goes into a sublayer is normalised; post: what comes out with the residual "
        "added, as in BERT; none: the preset's.",
    )
    norm_epsilon: float = setting(
        default=None,
        description="Added to the mean square or variance in a norm (no unit); none: the preset's.",
        gt=0,
    )
    positions: Positions = setting(
        default=None,
        description="Rotary positions, or a learned vector for each; none: the preset's.",
    )
    rope_theta: float = setting(
        default=None,
        description="Base of the rotary positions (no unit); none: the preset's, 10,000.",
        gt=0,
    )
    feed_forward: FeedForwardKind = setting(
        default=None,
        description="Kind of feed-forward layer: swiglu, gelu (exact), gelu_tanh (its approximation), relu2 "
        "(the square of ReLU); none: the preset's.",
    )
    bias: bool = setting(
        default=None,
        description="Whether linear layers and LayerNorm have biases (true, false); none: the preset's.",
    )
    qk_norm: bool = setting(
        default=None,
        description="Whether queries and keys are normalised (true, false); none: the preset's.",
    )
    tie_embeddings: bool = setting(
        default=None,
        description="Whether the head is the embedding matrix (true, false); none: the preset's.",
    )
    window: int | None = setting(
        default=None,
        description="Sliding window: how many tokens a token sees up to itself, and an encoder's as many on "
        "the other side (tokens); none: everything.",
        ge=1,
    )
    full_attention_every: int | None = setting(
        default=None,
        description="With a window: every n-th layer sees everything all the same (count); none: no layer.",
        ge=1,
    )
    attention_soft_cap: float | None = setting(
        default=None,
        description="Attention scores s become cap * tanh(s / cap) (no unit); none: no cap.",
        gt=0,
    )
    logit_soft_cap: float | None = setting(
        default=None,
        description="The head's logits s become cap * tanh(s / cap) (no unit); none: no cap.",
        gt=0,
    )
    dropout: float = setting(
        default=None,
        description="Share of embeddings, attention weights and sublayers' outputs that is zeroed in training "
        "(0 to 1); none: the preset's.",
        ge=0,
        lt=1,
    )
    initialisation: Initialisation = setting(
        default=None,
        description="First weights. identity: every block starts as the identity; normal: deviation 0.02, as "
        "in GPT-2 and BERT; none: the preset's.",
    )
    token_types: int = setting(
        default=None,
        description="Encoder only: learned vectors that tell parts of a row apart (count; BERT has 2); none: "
        "the preset's.",
        ge=0,
    )
    next_sentence: bool = setting(
        default=None,
        description="Encoder only: whether there is a head that tells if two sentences follow each other "
        "(true, false); none: the preset's.",
    )
    head_transform: bool = setting(
        default=None,
        description="Encoder only: whether a dense layer, an activation and a norm stand before the head, as "
        "in BERT (true, false); none: the preset's.",
    )
    export: str | None = setting(
        default=None,
        description="Layout of the model folder. hf: one that transformers reads, and what fits none is "
        "refused; qwen3, llama, mistral, gpt2, bert, bart or blenderbot: that one; own: Penstock's; "
        "none: hf where it fits, else own.",
    )

    def __post_init__(self) -> None:
        # What these two say becomes a value of the section.
        presets, choose = unkeyed("llm.models.presets"), unkeyed("llm.models.layouts.choose")
        for name, value in presets.preset_values(self.preset).items():
            if getattr(self, name) is None:
                dropped = name in ENCODER_ONLY and self.architecture != "encoder"
                object.__setattr__(self, name, type(value)() if dropped else value)
        self._refuse_impossible_heads()
        for name in ENCODER_ONLY:
            if getattr(self, name) and self.architecture != "encoder":
                raise ValueError(
                    f"model: {name} is {getattr(self, name)}, but the architecture is "
                    f"{self.architecture}; only an encoder has it"
                )
        if self.full_attention_every is not None and self.window is None:
            raise ValueError(
                f"model: full_attention_every {self.full_attention_every} needs a window: without "
                "one, every layer sees everything"
            )
        layout = choose.chosen(self.resolve(vocabulary=1), self.export)
        object.__setattr__(self, "export", layout)

    def _refuse_impossible_heads(self) -> None:
        heads = self.resolved_heads
        if self.head_dim is None and self.d_model % heads:
            raise ValueError(
                f"model: d_model {self.d_model} is not a multiple of heads {heads}; "
                "choose one that is, or give head_dim"
            )
        if self.positions == "rope" and self.resolved_head_dim % 2:
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

    @property
    def resolved_hidden(self) -> int:
        """Inner width of the feed-forward layer, derived from d_model when not given."""
        swiglu = -(-self.d_model * 8 // 3 // 64) * 64
        return self.hidden or (swiglu if self.feed_forward == "swiglu" else 4 * self.d_model)

    def resolve(self, vocabulary: int) -> ModelConfig:
        """The full configuration for a tokenizer of `vocabulary` tokens."""
        derived = {"preset", "heads", "kv_heads", "head_dim", "hidden"}
        return ModelConfig(
            **{name: value for name, value in vars(self).items() if name not in derived},
            vocabulary=vocabulary,
            heads=self.resolved_heads,
            kv_heads=self.kv_heads or self.resolved_heads,
            head_dim=self.resolved_head_dim,
            hidden=self.resolved_hidden,
        )
