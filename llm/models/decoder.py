"""The decoder: token ids in, logits of the next token out."""

import torch
from torch import Tensor, nn

from llm.models.block import Block
from llm.models.config import ModelConfig
from llm.models.language_model import Cache, LanguageModel
from llm.models.loss import IGNORE
from llm.models.norms import make_norm


class Decoder(LanguageModel):
    """A causal language model: blocks, each seeing what comes before, a last norm, the head."""

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config, compute_dtype)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = make_norm(config) if config.norm_position == "pre" else nn.Identity()

    def new_cache(self, batch: int = 1, capacity: int | None = None) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens (the context length)."""
        like = self.embedding.new_empty(0, dtype=self.compute_dtype)
        return Cache(self.config, batch, capacity or self.config.context_length, like)

    def hidden_states(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        cache: Cache | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, T) → what the head reads, (B, T, d_model) in the compute type.

        segments (B, T): a token sees only tokens of its own segment. cache: tokens follow what it
        holds. wanted (n,) int64: only these of the B * T states, (n, d_model). Raises ValueError for more positions than the context or the cache has.
        """
        start = cache.length if cache else 0
        end = start + tokens.shape[1]
        self.check_length(end, cache)
        x = self.embed(tokens, segments, start)
        rotary = self.angles(start, end)
        masks = self.masks(tokens.shape[1], end, True, segments)
        for layer, (block, mask) in enumerate(zip(self.blocks, masks, strict=True)):
            chosen = wanted if layer == len(self.blocks) - 1 else None
            x = block(x, mask, rotary, None, cache.layers[layer] if cache else None, start, chosen)
        if cache:
            cache.length = end
        normal: Tensor = self.norm(x)
        return normal

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """tokens (B, T) → logits (B, T, vocabulary), float32."""
        return self.logits(self.hidden_states(tokens, segments, cache))

    def last_logits(self, tokens: Tensor, cache: Cache) -> Tensor:
        """tokens (B, T) that follow what the cache holds → logits after the last, (B, vocabulary)."""
        return self.logits(self.hidden_states(tokens, cache=cache)[:, -1])

    def loss(self, tokens: Tensor, targets: Tensor, segments: Tensor | None = None) -> Tensor:
        """Sum over targets (B, T) of -ln p(target | tokens so far): a float32 scalar, in nats.

        Targets equal to -100 count nothing. Divide by the number of the others for the mean.
        Never holds all logits at once, whatever the vocabulary.
        """
        wanted = self.wanted_places(targets != IGNORE)
        x = self.hidden_states(tokens, segments, wanted=wanted)
        return self.summed_loss(x, targets if wanted is None else targets.flatten()[wanted])

    @torch.no_grad()
    def token_losses(
        self, tokens: Tensor, targets: Tensor, segments: Tensor | None = None
    ) -> Tensor:
        """-ln p(target) of every position, (B, T) float32 in nats, without gradients.

        0 where the target is -100.
        """
        x = self.hidden_states(tokens, segments)
        return self.row_losses(x.flatten(0, 1), targets.flatten()).view(targets.shape)
