"""A decoder's pass over one more token of each of some rows, of different lengths.

The same formulas as the modules', for a single position: with few rows, what a pass costs is the
number of operations that it starts. So matrices that read the same input are joined once, and
queries and keys are normalised and turned together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.activations import activate
from llm.models.attention import Attention, attend
from llm.models.block import Block
from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.layers import Linear, as_one
from llm.models.mask import Mask
from llm.models.norms import LayerNorm, RMSNorm
from llm.models.rotary import turn
from llm.models.row_cache import RowCache

JOINED_ELEMENTS = 1 << 22  # matrices larger together stay apart: a copy would take too much memory


class OneToken:
    """The pass of a model whose weights do not change from here on."""

    def __init__(self, model: Decoder | EncoderDecoder) -> None:
        self.model = model
        self.layers = [_Layer(block, model.compute_dtype) for block in model.blocks]  # type: ignore[arg-type]
        self.windows = {*model.config.windows}
        self.first_norm = _norm_of(model.embedding_norm)
        self.last_norm = _norm_of(model.norm)
        self.head = model.output_matrix().detach().to(model.compute_dtype)

    def logits(self, tokens: Sequence[int], cache: RowCache) -> Tensor:
        """Logits (B, vocabulary), float32, after one more token of each row, which the cache gets."""
        model, lengths = self.model, cache.lengths
        device = model.embedding.device
        cache.make_room()
        places = torch.tensor(lengths, device=device)  # (B,)
        x = F.embedding(torch.tensor(tokens, device=device), model.embedding)
        if model.positions is not None:
            x = x + model.positions[places]
        x = x.to(model.compute_dtype)
        if self.first_norm is not None:
            x = self.first_norm(x)
        rotary = None
        if model.config.positions == "rope":
            rotary = model.rotary[:, places, None].to(x.dtype)  # (2, B, 1, D/2)
        end = max(lengths) + 1
        # Rows of one length are written to and read without looking up places.
        even = lengths[0] if min(lengths) + 1 == end else None
        at = (torch.arange(len(lengths), device=device), places) if even is None else even
        masks = {window: self._mask(places, end, even, window) for window in self.windows}
        looked = None
        if cache.source_lengths and min(cache.source_lengths) < max(cache.source_lengths):
            ends = torch.tensor(cache.source_lengths, device=device)
            looked = self._added(_before(ends, max(cache.source_lengths)))
        for number, (layer, window) in enumerate(
            zip(self.layers, model.config.windows, strict=True)
        ):
            keys, values = cache.layer(number, end)
            x = layer.look_back(x, rotary, keys, values, at, masks[window])
            if layer.cross is not None:
                x = layer.look_at(x, *cache.sources(number), looked)
            x = layer.feed_forward(x)
        for slot in range(len(lengths)):
            lengths[slot] += 1
        if self.last_norm is not None:
            x = self.last_norm(x)
        return self._finished(x)

    def _mask(
        self, places: Tensor, end: int, even: int | None, window: int | None
    ) -> Tensor | None:
        """Which of the keys up to `end` each row's new token sees, (B, 1, 1, end); None: all."""
        if window is not None and window >= end:
            window = None
        if even is not None and window is None:
            return None
        allowed = _before(places + 1, end)
        if window is not None:
            allowed = allowed & ~_before(places + 1 - window, end)
        return self._added(allowed)

    def _added(self, allowed: Tensor) -> Tensor:
        """A mask as PyTorch's kernels add it to scores, so that not every layer makes it of bools."""
        if self.model.config.attention_soft_cap is not None:
            return allowed
        added = torch.zeros_like(allowed, dtype=self.model.compute_dtype)
        return added.masked_fill(~allowed, -torch.inf)

    def _finished(self, x: Tensor) -> Tensor:
        logits = F.linear(self.model.before_head(x), self.head).float()
        bias, cap = self.model.output_bias(), self.model.config.logit_soft_cap
        if bias is not None:
            logits = logits + bias
        return logits if cap is None else cap * torch.tanh(logits / cap)


def _before(ends: Tensor, length: int) -> Tensor:
    """Which of `length` places lie before the rows' ends (B,): (B, 1, 1, length)."""
    return (torch.arange(length, device=ends.device) < ends[:, None])[:, None, None]


class _Layer:
    """A block's parameters, as its steps below need them. x is (B, d_model)."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        own = block.attention
        self.pre = block.pre
        self.heads, self.kv_heads, self.head_dim = own.heads, own.kv_heads, own.head_dim
        self.soft_cap = own.soft_cap
        self.kind = block.feed_forward.kind
        self.attention_norm = _norm_of(block.attention_norm)
        self.cross_norm = _norm_of(block.cross_norm)
        self.feed_forward_norm = _norm_of(block.feed_forward_norm)
        self.packed = _Product((own.query, own.key, own.value), dtype)
        self.output = _Product((own.output,), dtype)
        self.head_norm = _head_norm(own)
        self.cross = block.cross_attention
        if self.cross is not None:
            self.cross_query = _Product((self.cross.query,), dtype)
            self.cross_query_norm = _norm_of(self.cross.query_norm)
            self.cross_output = _Product((self.cross.output,), dtype)
        inner = block.feed_forward
        into = (inner.up,) if inner.gate is None else (inner.gate, inner.up)
        self.into = _Product(into, dtype)
        self.down = _Product((inner.down,), dtype)

    def look_back(
        self,
        x: Tensor,
        rotary: Tensor | None,
        keys: Tensor,
        values: Tensor,
        at: tuple[Tensor, Tensor] | int,
        allowed: Tensor | None,
    ) -> Tensor:
        """Attention to the row: keys and values (B, K, S, D) get the new token's.

        at: its place, of all rows, or slots and places (B,).
        """
        rows = len(x)
        packed = self.packed(self._before(x, self.attention_norm)).view(rows, -1, self.head_dim)
        turned = packed[:, : self.heads + self.kv_heads]  # (B, H + K, D)
        if self.head_norm is not None:
            turned = self.head_norm(turned)
        if rotary is not None:
            plain, turned = turned, torch.empty_like(turned)
            turn(plain, rotary[0], rotary[1], turned)
        v = packed[:, self.heads + self.kv_heads :]
        if isinstance(at, int):
            keys[:, :, at], values[:, :, at] = turned[:, self.heads :], v
        else:
            slots, places = at
            keys[slots, :, places], values[slots, :, places] = turned[:, self.heads :], v
        seen = self._attend(turned[:, : self.heads], keys, values, allowed)
        return self._after(self.output.added(x, seen), self.attention_norm)

    def look_at(self, x: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None) -> Tensor:
        """Attention to the source: keys and values (B, K, S, D)."""
        q = self.cross_query(self._before(x, self.cross_norm)).view(len(x), -1, self.head_dim)
        if self.cross_query_norm is not None:
            q = self.cross_query_norm(q)
        seen = self._attend(q, keys, values, allowed)
        return self._after(self.cross_output.added(x, seen), self.cross_norm)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The feed-forward layer."""
        inner = self.into(self._before(x, self.feed_forward_norm))
        if self.kind == "swiglu":
            gate, up = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * up
        else:
            inner = activate(inner, self.kind)
        return self._after(self.down.added(x, inner), self.feed_forward_norm)

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None) -> Tensor:
        """q (B, H, D) → (B, H * D). The queries that share keys stand for positions of one head."""
        q = q.reshape(len(q), self.kv_heads, -1, self.head_dim)
        return attend(q, keys, values, Mask(False, allowed), self.soft_cap).flatten(1)

    def _before(self, x: Tensor, norm: "_Norm | None") -> Tensor:
        return norm(x) if self.pre and norm is not None else x

    def _after(self, x: Tensor, norm: "_Norm | None") -> Tensor:
        return x if self.pre or norm is None else norm(x)


class _Product:
    """The outputs of layers that read the same input, side by side."""

    def __init__(self, layers: Sequence[Linear], dtype: torch.dtype) -> None:
        changed = (
            layer.weight if layer.low_rank is None else layer.low_rank.added_to(layer.weight)
            for layer in layers
        )
        weights = [weight.detach() for weight in changed]
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        whole = as_one(weights)
        if whole is None and sum(one.numel() for one in weights) <= JOINED_ELEMENTS:
            whole = torch.cat(weights)
        self.weights = [one.to(dtype) for one in (weights if whole is None else [whole])]
        self.bias = torch.cat(biases).to(dtype) if biases else None

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.weights) == 1:
            return F.linear(x, self.weights[0], self.bias)
        y = torch.cat([F.linear(x, weight) for weight in self.weights], dim=-1)
        return y if self.bias is None else y + self.bias

    def added(self, x: Tensor, inputs: Tensor) -> Tensor:
        """x and the outputs."""
        if len(self.weights) > 1 or self.bias is not None:
            return x + self(inputs)
        return torch.addmm(x, inputs, self.weights[0].T)


class _Norm:
    """A norm over the last dimension; statistics are in float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, epsilon: float, centred: bool) -> None:
        self.weight, self.bias = weight.detach(), bias
        self.width = weight.shape[-1:]
        self.epsilon, self.centred = epsilon, centred
        self.one_weight = weight.ndim == 1

    def __call__(self, x: Tensor) -> Tensor:
        wide = x.float()
        if self.centred:
            y = F.layer_norm(wide, self.width, self.weight, self.bias, self.epsilon)
        elif self.one_weight:
            y = F.rms_norm(wide, self.width, self.weight, self.epsilon)
        else:  # each head has its own
            y = F.rms_norm(wide, self.width, None, self.epsilon) * self.weight
        return y.to(x.dtype)


def _norm_of(norm: nn.Module | None) -> _Norm | None:
    if isinstance(norm, LayerNorm):
        bias = None if norm.bias is None else norm.bias.detach()
        return _Norm(norm.weight, bias, norm.epsilon, centred=True)
    if isinstance(norm, RMSNorm):
        return _Norm(norm.weight, None, norm.epsilon, centred=False)
    return None  # nn.Identity, or nothing


def _head_norm(attention: Attention) -> _Norm | None:
    """The norms of queries and of keys as one, of all heads: weights (H + K, D)."""
    query, key = attention.query_norm, attention.key_norm
    if query is None or key is None:
        return None
    counts = (attention.heads, attention.kv_heads)
    parts = [
        norm.weight.expand(count, -1) for norm, count in zip((query, key), counts, strict=True)
    ]
    return _Norm(torch.cat(parts), None, query.epsilon, centred=False)
