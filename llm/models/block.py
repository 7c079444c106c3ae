"""One layer of a transformer: attention, a look at the source where there is one, feed-forward."""

from dataclasses import dataclass

from torch import Tensor, nn

from llm.models.activations import activate, swiglu
from llm.models.attention import Attention, LayerCache
from llm.models.config import ModelConfig
from llm.models.kernels import availability
from llm.models.layers import Dropout, Linear
from llm.models.mask import Mask
from llm.models.norms import make_norm
from llm.models.spans import Spans


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
        wanted: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, d_model) at positions `start` on → the same shape.

        wanted (n,) int64: only these of the B * T positions come out, (n, d_model).
        """
        if cache is None and (spans := self._spans(x, mask)) is not None:
            from llm.models.fused_block import fused, is_whole, sublayers_of

            # Again each time: whoever changes a module or looks at one finds what they expect.
            if is_whole(self):
                if source is None or self.cross_norm is None:
                    return fused(x, sublayers_of(self, spans, rotary, wanted))
                first, second = sublayers_of(self, spans, rotary, None)
                x = fused(self._crossed(fused(x, (first,)), source, None), (second,))
                return _chosen(x, wanted)
        new = self.attention(self._before(x, self.attention_norm), mask, rotary, cache, start)
        x = self._after(x, new, self.attention_norm)
        if source is not None:
            x = self._crossed(x, source, cache)
        x = _chosen(x, wanted)
        new = self.feed_forward(self._before(x, self.feed_forward_norm))
        return self._after(x, new, self.feed_forward_norm)

    def _spans(self, x: Tensor, mask: Mask) -> Spans | None:
        """Who sees whom, where sublayers may be one function: see `fused_block`."""
        if self.attention.soft_cap or not availability.usable(x, self.feed_forward.up.weight):
            return None
        if mask.allowed is not None:
            return mask.spans
        return Spans.of_rows(len(x), x.shape[1], mask.causal)

    def _before(self, x: Tensor, norm: nn.Module) -> Tensor:
        normal: Tensor = norm(x) if self.pre else x
        return normal

    def _after(self, x: Tensor, new: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(new)
        return x if self.pre else norm(x)

    def _crossed(self, x: Tensor, source: Source, cache: LayerCache | None) -> Tensor:
        """After the look at the source, for a layer that has one."""
        if self.cross_norm is None:
            return x
        new = self._cross(self._before(x, self.cross_norm), source, cache)
        return self._after(x, new, self.cross_norm)

    def _cross(self, x: Tensor, source: Source, cache: LayerCache | None) -> Tensor:
        assert self.cross_attention is not None
        seen = cache.crossed if cache is not None else None
        if seen is None:
            assert source.states is not None, "neither the source nor what a cache holds of it"
            seen = self.cross_attention.keys_values(source.states)
            if cache is not None:
                cache.crossed = seen
        return self.cross_attention.cross(x, source.mask, *seen)


def _chosen(x: Tensor, wanted: Tensor | None) -> Tensor:
    """The wanted positions of x (B, T, d), (n, d); x itself where all are."""
    return x if wanted is None else x.flatten(0, 1).index_select(0, wanted)
