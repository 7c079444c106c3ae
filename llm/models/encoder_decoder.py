"""The encoder-decoder: a source is read whole, a target is written while looking at it.

Vaswani et al., Attention Is All You Need (arXiv 1706.03762). Both sides share the embeddings of
tokens; learned positions, and the norm of a post-norm model's embeddings, each side has its own, as in
BART (arXiv 1910.13461). The look at the source knows no positions.
"""

import torch
from torch import Tensor, nn

from llm.models.block import Block, Source
from llm.models.config import ModelConfig
from llm.models.language_model import Cache, LanguageModel
from llm.models.loss import IGNORE
from llm.models.mask import cross_mask
from llm.models.norms import make_norm


class EncoderDecoder(LanguageModel):
    """For translation, and for denoising by span corruption (T5, arXiv 1910.10683)."""

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config, compute_dtype)
        pre = config.norm_position == "pre"
        self.source_positions = None
        if config.positions == "learned":
            shape = (config.context_length, config.d_model)
            self.source_positions = nn.Parameter(torch.empty(shape))
        self.source_embedding_norm = None if pre else make_norm(config)
        self.source_blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.source_norm = make_norm(config) if pre else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, crossed=True) for _ in range(config.layers))
        self.norm = make_norm(config) if pre else nn.Identity()

    def encode(self, sources: Tensor, source_segments: Tensor | None = None) -> Tensor:
        """sources (B, S) → what targets look at, (B, S, d_model) in the compute type.

        source_segments (B, S): a token sees only tokens of its own segment; 0 is padding.
        """
        length = sources.shape[1]
        self.check_length(length)
        x = self.embed_with(
            self.source_positions, self.source_embedding_norm, sources, source_segments
        )
        masks = self.masks(length, length, False, source_segments)
        for block, mask in zip(self.source_blocks, masks, strict=True):
            x = block(x, mask, self.angles(0, length))
        normal: Tensor = self.source_norm(x)
        return normal

    def new_cache(self, states: Tensor, capacity: int | None = None) -> Cache:
        """A cache for targets that look at `encode`d states (B, S, d_model), S without padding."""
        capacity = capacity or self.config.context_length
        like = self.embedding.new_empty(0, dtype=self.compute_dtype)
        cache = Cache(self.config, len(states), capacity, like)
        for layer, block in zip(cache.layers, self.blocks, strict=True):
            layer.crossed = block.cross_attention.keys_values(states)  # type: ignore[union-attr, operator]
        return cache

    def hidden_states(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        sources: Tensor | None = None,
        source_segments: Tensor | None = None,
        cache: Cache | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Target tokens (B, T) with their sources (B, S) → what the head reads, (B, T, d_model).

        A target token sees the target tokens before it and all source tokens, of its own segment
        (segments (B, T), source_segments (B, S); 0 is padding, None: all of segment 1). A cache
        stands for the sources. wanted (n,) int64: only these of the B * T states, (n, d_model). Raises ValueError without either, and for rows that are too long.
        """
        start = cache.length if cache else 0
        end = start + tokens.shape[1]
        self.check_length(end, cache)
        states = None
        if cache is None:
            if sources is None:
                raise ValueError(
                    "an encoder-decoder needs sources: what is the target written from?"
                )
            states = self.encode(sources, source_segments)
        source = Source(states, cross_mask(segments, source_segments))
        x = self.embed(tokens, segments, start)
        masks = self.masks(tokens.shape[1], end, True, segments)
        rotary = self.angles(start, end)
        for layer, (block, mask) in enumerate(zip(self.blocks, masks, strict=True)):
            chosen = wanted if layer == len(self.blocks) - 1 else None
            kept = cache.layers[layer] if cache else None
            x = block(x, mask, rotary, source, kept, start, chosen)
        if cache:
            cache.length = end
        normal: Tensor = self.norm(x)
        return normal

    def forward(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        sources: Tensor | None = None,
        source_segments: Tensor | None = None,
    ) -> Tensor:
        """Target tokens (B, T) and sources (B, S) → logits (B, T, vocabulary), float32."""
        return self.logits(self.hidden_states(tokens, segments, sources, source_segments))

    def last_logits(self, tokens: Tensor, cache: Cache) -> Tensor:
        """tokens (B, T) that follow what the cache holds → logits after the last, (B, vocabulary)."""
        return self.logits(self.hidden_states(tokens, cache=cache)[:, -1])

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        segments: Tensor | None = None,
        sources: Tensor | None = None,
        source_segments: Tensor | None = None,
    ) -> Tensor:
        """Sum over targets (B, T) of -ln p(target | source, tokens so far): float32, in nats.

        Targets equal to -100 count nothing. See `hidden_states`.
        """
        wanted = self.wanted_places(targets != IGNORE)
        x = self.hidden_states(tokens, segments, sources, source_segments, wanted=wanted)
        return self.summed_loss(x, targets if wanted is None else targets.flatten()[wanted])

    @torch.no_grad()
    def token_losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        segments: Tensor | None = None,
        sources: Tensor | None = None,
        source_segments: Tensor | None = None,
    ) -> Tensor:
        """-ln p(target) of every position, (B, T) float32 in nats; 0 where the target is -100."""
        x = self.hidden_states(tokens, segments, sources, source_segments)
        return self.row_losses(x.flatten(0, 1), targets.flatten()).view(targets.shape)
