"""One layer of a transformer: attention, a look at the source where there is one, feed-forward."""

from dataclasses import dataclass

from torch import Tensor, nn

from llm.models.activations import activate, swiglu
from llm.models.attention import Attention, LayerCache, is_short
from llm.models.config import ModelConfig
from llm.models.kernels import availability
from llm.models.layers import Dropout, Linear
from llm.models.mask import Mask
from llm.models.norms import make_norm


@dataclass(frozen=True)
class Source:
    """What a target looks at: hidden states (B, S, d_model), and which of them each target sees.

    states: None where a cache holds each layer's keys and values of them.
    """

    states: Tensor | None
    mask: Mask


class FeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)), or down(f(up(x))): see `activations`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind = config.feed_forward
        swiglu = self.kind == "swiglu"
        self.gate = Linear(config.d_model, config.hidden, config.bias) if swiglu else None
        self.up = Linear(config.d_model, config.hidden, config.bias)
        self.down = Linear(config.hidden, config.d_model, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            return self.down(swiglu(self.gate(x), self.up(x)))
        return self.down(activate(self.up(x), self.kind))


class Block(nn.Module):
    """Sublayers, each with a norm and beside a residual.

    pre-norm: x + sublayer(norm(x)); post-norm: norm(x + sublayer(x)), the order of the first
    transformer (arXiv 1706.03762) and of BERT. is_block: how training finds what it compiles, or
    shares out, on its own.
    """

    is_block = True

    def __init__(self, config: ModelConfig, crossed: bool = False) -> None:
        super().__init__()
        self.pre = config.norm_position == "pre"
        self.attention_norm = make_norm(config)
        self.attention = Attention(config)
        self.cross_norm = make_norm(config) if crossed else None
        self.cross_attention = Attention(config) if crossed else None
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        mask: Mask,
        rotary: Tensor | None = None,
        source: Source | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
    ) -> Tensor:
        """x (B, T, d_model) at positions `start` on → the same shape."""
        if source is None and cache is None and self._can_be_fused(x, mask):
            from llm.models.fused_block import fused_block, parts_of

            # Again each time: whoever changes a module or looks at one finds what they expect.
            if (parts := parts_of(self)) is not None:
                return fused_block(x, parts, rotary)
        new = self.attention(self._before(x, self.attention_norm), mask, rotary, cache, start)
        x = self._after(x, new, self.attention_norm)
        if self.cross_norm is not None and source is not None:
            new = self._cross(self._before(x, self.cross_norm), source, cache)
            x = self._after(x, new, self.cross_norm)
        new = self.feed_forward(self._before(x, self.feed_forward_norm))
        return self._after(x, new, self.feed_forward_norm)

    def _can_be_fused(self, x: Tensor, mask: Mask) -> bool:
        """Whether the layer may be one function: see `fused_block`."""
        share = self.dropout.active_share
        short = self.pre and is_short(x, mask, self.attention.soft_cap, share)
        return short and availability.usable(x, self.feed_forward.up.weight)

    def _before(self, x: Tensor, norm: nn.Module) -> Tensor:
        normal: Tensor = norm(x) if self.pre else x
        return normal

    def _after(self, x: Tensor, new: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(new)
        return x if self.pre else norm(x)

    def _cross(self, x: Tensor, source: Source, cache: LayerCache | None) -> Tensor:
        assert self.cross_attention is not None
        seen = cache.crossed if cache is not None else None
        if seen is None:
            assert source.states is not None, "neither the source nor what a cache holds of it"
            seen = self.cross_attention.keys_values(source.states)
            if cache is not None:
                cache.crossed = seen
        return self.cross_attention.cross(x, source.mask, *seen)
