"""The decoder: token ids in, logits of the next token out. Qwen3's architecture (or Llama's).

Block: x + attention(norm(x)), then x + feed_forward(norm(x)); a last norm; the head.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.attention import Attention, LayerCache, rotary_table
from llm.models.config import DecoderConfig
from llm.models.layers import Linear, RMSNorm
from llm.models.loss import summed_loss, token_losses


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate = Linear(config.d_model, config.hidden)
        self.up = Linear(config.d_model, config.hidden)
        self.down = Linear(config.hidden, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.norm_epsilon)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_epsilon)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        rotary: Tensor,
        segments: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, segments, cache, start)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Cache:
    """Keys and values of a growing batch of rows, for generation.

    length: how many positions are filled; `Decoder.forward` moves it on.
    """

    def __init__(self, config: DecoderConfig, batch: int, capacity: int, like: Tensor) -> None:
        self.layers = [LayerCache(batch, config, capacity, like) for _ in range(config.layers)]
        self.capacity = capacity
        self.length = 0


class Decoder(nn.Module):
    """A causal language model.

    Parameters are float32; `compute_dtype` (float32 or bfloat16) is what activations are in.
    Norms' statistics, softmax sums and the loss are float32 either way. A new decoder's parameters
    are not set: `initialise` or load them.
    """

    rotary: Tensor

    def __init__(self, config: DecoderConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.d_model))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.d_model, config.norm_epsilon)
        self.head = (
            None
            if config.tie_embeddings
            else nn.Parameter(torch.empty(config.vocabulary, config.d_model))
        )
        self.register_buffer("rotary", torch.empty(0), persistent=False)
        self.set_rotary()

    def set_rotary(self) -> None:
        """Work out the table of rotary positions, on the parameters' device."""
        config = self.config
        table = rotary_table(config.context_length, config.head_dim, config.rope_theta)
        self.rotary = table.to(self.embedding.device)

    def initialise(self, seed: int) -> None:
        """Set every parameter, the same for the same seed on every machine.

        Matrices are normal with standard deviation 1/sqrt(inputs) (embeddings 0.02); those that
        write to the residual stream start at zero, norms at one, so that at first every block is
        the identity.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(1.0)
                elif name.endswith(("attention.output.weight", "feed_forward.down.weight")):
                    parameter.zero_()
                else:
                    deviation = 1 / math.sqrt(parameter.shape[1])
                    if name in ("embedding", "head"):
                        deviation = 0.02
                    values = torch.randn(parameter.shape, generator=generator) * deviation
                    parameter.copy_(values)

    def parameter_count(self) -> int:
        """How many numbers are learned (a tied head counts once)."""
        return sum(parameter.numel() for parameter in self.parameters())

    def new_cache(self, batch: int = 1, capacity: int | None = None) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens (the context length)."""
        like = self.embedding.new_empty(0, dtype=self.compute_dtype)
        return Cache(self.config, batch, capacity or self.config.context_length, like)

    def hidden_states(
        self, tokens: Tensor, segments: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """tokens (B, T) → what the head reads, (B, T, d_model) in the compute type.

        segments (B, T): a token sees only tokens of its own segment. cache: tokens follow what it
        holds. Raises ValueError for more positions than the context or the cache has.
        """
        start = cache.length if cache else 0
        end = start + tokens.shape[1]
        limit = min(self.config.context_length, cache.capacity if cache else end)
        if end > limit:
            raise ValueError(
                f"{end} tokens are more than the context length of {limit}: cut the text"
            )
        x = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        rotary = self.rotary[:, start:end]
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, segments, cache.layers[layer] if cache else None, start)
        if cache:
            cache.length = end
        return self.norm(x)

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """tokens (B, T) → logits (B, T, vocabulary), float32."""
        x = self.hidden_states(tokens, segments, cache)
        return F.linear(x, self.output_matrix().to(x.dtype)).float()

    def last_logits(self, tokens: Tensor, cache: Cache) -> Tensor:
        """tokens (B, T) that follow what the cache holds → logits after the last, (B, vocabulary)."""
        x = self.hidden_states(tokens, cache=cache)[:, -1]
        return F.linear(x, self.output_matrix().to(x.dtype)).float()

    def loss(
        self, tokens: Tensor, targets: Tensor, segments: Tensor | None = None, ignore: int = -100
    ) -> Tensor:
        """Sum over targets (B, T) of -ln p(target | tokens so far): a float32 scalar, in nats.

        Targets equal to `ignore` count nothing. Divide by the number of the others for the mean.
        Never holds all logits at once, whatever the vocabulary.
        """
        x = self.hidden_states(tokens, segments).flatten(0, 1)
        return summed_loss(x, self.output_matrix(), targets.flatten(), ignore)

    @torch.no_grad()
    def token_losses(
        self, tokens: Tensor, targets: Tensor, segments: Tensor | None = None, ignore: int = -100
    ) -> Tensor:
        """-ln p(target) of every position, (B, T) float32 in nats, without gradients.

        0 where the target is `ignore`.
        """
        x = self.hidden_states(tokens, segments).flatten(0, 1)
        return token_losses(x, self.output_matrix(), targets.flatten(), ignore).view(targets.shape)

    def output_matrix(self) -> Tensor:
        """The head's weights (vocabulary, d_model): the embedding's when tied."""
        return self.embedding if self.head is None else self.head
