"""What decoder, encoder and encoder-decoder share: embeddings in, a head out, first weights."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models import fused_loss, loss
from llm.models.attention import LayerCache
from llm.models.config import ModelConfig
from llm.models.gradients import embed
from llm.models.kernels import availability
from llm.models.layers import Dropout
from llm.models.mask import Mask, places, self_mask
from llm.models.norms import make_norm
from llm.models.output_head import OutputHead, pooled, told_by
from llm.models.rotary import rotary_table

if TYPE_CHECKING:
    from llm.models.low_rank import NewRows

# Looked up, or the head: no layer's matrix.
EMBEDDINGS = ("embedding", "head", "positions", "source_positions", "types")
RESIDUAL = ("attention.output.weight", "feed_forward.down.weight")  # what writes to the residual


class Cache:
    """Keys and values of a growing batch of rows, for generation.

    length: how many positions are filled; the model moves it on.
    """

    def __init__(self, config: ModelConfig, batch: int, capacity: int, like: Tensor) -> None:
        self.layers = [LayerCache(batch, config, capacity, like) for _ in range(config.layers)]
        self.capacity = capacity
        self.length = 0


class LanguageModel(nn.Module):
    """Embeddings and a head round whatever blocks a subclass has.

    Parameters are float32; `compute_dtype` (float32 or bfloat16) is what activations are in.
    Norms' statistics, softmax sums and the loss are float32 either way. A new model's parameters
    are not set: `initialise` or load them. z_loss: see `loss.summed_loss`; 0 unless a trainer says.
    fused_loss: whether losses that are learned from are made by `fused_loss`, which a trainer that
    compiles the model says. new_embedding, new_head: rows of the two that are learned while the others
    are frozen (see `low_rank.NewRows`).
    """

    rotary: Tensor
    new_embedding: "NewRows | None"
    new_head: "NewRows | None"

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        self.z_loss = 0.0
        self.fused_loss = False
        shape = (config.vocabulary, config.d_model)
        self.embedding = nn.Parameter(torch.empty(shape))
        tied = config.tie_embeddings or config.outputs is not None
        self.head = None if tied else nn.Parameter(torch.empty(shape))
        self.new_embedding, self.new_head = None, None
        self.output_head = None if config.outputs is None else OutputHead(config)
        self.positions = None
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.context_length, config.d_model))
        self.embedding_norm = make_norm(config) if config.norm_position == "post" else None
        self.dropout = Dropout(config.dropout)
        self.register_buffer("rotary", torch.empty(0), persistent=False)
        self.set_rotary()

    def set_rotary(self) -> None:
        """Work out the table of rotary positions, on the parameters' device."""
        config = self.config
        if config.positions == "rope":
            table = rotary_table(config.context_length, config.head_dim, config.rope_theta)
            self.rotary = table.to(self.embedding.device)

    def initialise(self, seed: int) -> None:
        """Set every parameter, the same for the same seed on every machine.

        identity: matrices are normal with standard deviation 1/sqrt(inputs) (embeddings 0.02); those
        that write to the residual stream start at zero, so that at first every pre-norm block is
        the identity. normal: deviation 0.02 throughout, and for those that write to a pre-norm
        residual stream 0.02 / sqrt(2 * layers), as in GPT-2. Norms are one, biases zero.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                    continue
                deviation = self._deviation(name, parameter)
                if deviation == 0:
                    parameter.zero_()
                else:
                    values = torch.randn(parameter.shape, generator=generator) * deviation
                    parameter.copy_(values)

    def _deviation(self, name: str, parameter: Tensor) -> float:
        """The standard deviation of a matrix's first values."""
        if name.startswith("output_head."):
            return 0.02
        identity = self.config.initialisation == "identity"
        if name.endswith(RESIDUAL):
            pre = self.config.norm_position == "pre"
            if identity:
                return 0.0
            return 0.02 / math.sqrt(2 * self.config.layers) if pre else 0.02
        if identity and name not in EMBEDDINGS:
            return 1 / math.sqrt(parameter.shape[1])
        return 0.02

    def parameter_count(self) -> int:
        """How many numbers are learned (a tied head counts once)."""
        return sum(parameter.numel() for parameter in self.parameters())

    def embed(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        start: int = 0,
        extra: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, T) at positions `start` on → (B, T, d_model) in the compute type.

        Learned positions begin again in each of `segments` (B, T). extra (B, T, d_model) is added.
        """
        positions, norm = self.positions, self.embedding_norm
        return self.embed_with(positions, norm, tokens, segments, start, extra)

    def embed_with(
        self,
        positions: Tensor | None,
        norm: nn.Module | None,
        tokens: Tensor,
        segments: Tensor | None = None,
        start: int = 0,
        extra: Tensor | None = None,
    ) -> Tensor:
        """`embed` with learned positions (context_length, d_model) and a norm that are given."""
        if self.new_embedding is None:
            x = embed(tokens, self.embedding)
        else:
            x = self.new_embedding.embed(tokens, self.embedding)
        if positions is not None:
            if segments is None:
                x = x + positions[start : start + tokens.shape[1]]
            else:
                x = x + F.embedding(places(segments), positions)
        if extra is not None:
            x = x + extra
        x = x.to(self.compute_dtype)
        return self.dropout(x if norm is None else norm(x))

    def masks(self, length: int, seen: int, causal: bool, segments: Tensor | None) -> list[Mask]:
        """Each layer's mask for `length` queries, the last of `seen` keys: see `mask.self_mask`."""
        device = self.embedding.device
        made = {
            window: self_mask(length, seen, causal, window, segments, device)
            for window in set(self.config.windows)
        }
        return [made[window] for window in self.config.windows]

    def angles(self, start: int, end: int) -> Tensor | None:
        """The rotary table of positions start to end - 1; None for learned positions."""
        return self.rotary[:, start:end] if self.config.positions == "rope" else None

    def check_length(self, end: int, cache: Cache | None = None) -> None:
        """Raise ValueError for more positions than the context or the cache has."""
        limit = min(self.config.context_length, cache.capacity if cache else end)
        if end > limit:
            raise ValueError(
                f"{end} tokens are more than the context length of {limit}: cut the text"
            )

    def output_matrix(self) -> Tensor:
        """The head's weights (vocabulary, d_model): the embedding's when tied."""
        tied = self.head is None
        table, new = (self.embedding, self.new_embedding) if tied else (self.head, self.new_head)
        assert table is not None
        return table if new is None else new.in_place(table)

    def output_bias(self) -> Tensor | None:
        """The head's biases (vocabulary,), for a model that has some."""
        return None

    def before_head(self, x: Tensor) -> Tensor:
        """What stands between the hidden states and the head: nothing, unless a subclass says."""
        return x

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (..., d_model) → logits (..., vocabulary), float32."""
        soft_cap = self.config.logit_soft_cap
        return loss.head_logits(
            self.before_head(x), self.output_matrix(), self.output_bias(), soft_cap
        )

    def wanted_places(self, read: Tensor) -> Tensor | None:
        """Which of the B * T last states are asked for: those where read (B, T), bool; None: all.

        What the last layer makes of the others nobody sees. A compiled model is asked for all, since each
        number of states would be compiled again.
        """
        if not availability.usable(read, kinds=(torch.bool,)) or read.all():
            return None
        return read.flatten().nonzero()[:, 0]

    def summed_loss(self, x: Tensor, targets: Tensor) -> Tensor:
        """Sum of -ln p(target) over hidden states (..., d_model): a float32 scalar, in nats.

        Only rows with a target go through the head, and never all logits exist at once.
        """
        x, targets = loss.counted_rows(x.flatten(0, -2), targets.flatten())
        made = loss.summed_loss
        if self.fused_loss and torch.is_grad_enabled():
            made = fused_loss.summed_loss
        return made(
            self.before_head(x),
            self.output_matrix(),
            targets,
            bias=self.output_bias(),
            soft_cap=self.config.logit_soft_cap,
            z_loss=self.z_loss,
        )

    def outputs(self, tokens: Tensor, segments: Tensor, **more: Tensor) -> Tensor:
        """What the head for whole texts says of each text of the rows: (texts, labels), float32.

        tokens, segments (B, T), and what else `hidden_states` takes: texts are the segments, in order.
        """
        if self.output_head is None:
            raise ValueError("the model has a head for tokens, and none for whole texts")
        read = told_by(segments, self.output_head.pooling)
        wanted = None if read is None else self.wanted_places(read)
        x = self.hidden_states(tokens, segments, wanted=wanted, **more)  # type: ignore[operator]
        if wanted is None:
            x = pooled(x, segments, self.output_head.pooling)
        found: Tensor = self.output_head(x)
        return found

    @torch.no_grad()
    def row_losses(self, x: Tensor, targets: Tensor) -> Tensor:
        """-ln p(target) of hidden states (N, d_model): (N,) float32 in nats, without gradients.

        0 where the target is -100.
        """
        return loss.token_losses(
            self.before_head(x),
            self.output_matrix(),
            targets,
            bias=self.output_bias(),
            soft_cap=self.config.logit_soft_cap,
        )
