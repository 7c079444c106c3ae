"""Attention: grouped key and value heads, rotary positions, normalised queries and keys, one mask."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.block_attention import LONGEST, block_attention
from llm.models.config import ModelConfig
from llm.models.layers import Dropout, Linear, project
from llm.models.mask import Mask
from llm.models.norms import RMSNorm
from llm.models.rotary import rotate


class LayerCache:
    """The keys and values that one layer has seen, (B, K, capacity, D) each.

    crossed: keys and values (B, K, S, D) of the source, for a layer that looks at one.
    """

    def __init__(self, batch: int, config: ModelConfig, capacity: int, like: Tensor) -> None:
        shape = (batch, config.kv_heads, capacity, config.head_dim)
        self.keys = like.new_empty(shape)
        self.values = like.new_empty(shape)
        self.crossed: tuple[Tensor, Tensor] | None = None

    def extend(self, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, K, T, D) at positions `start` on; everything up to their end comes back."""
        end = start + keys.shape[2]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        return self.keys[:, :, :end], self.values[:, :, :end]


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Mask,
    soft_cap: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V over the keys that the mask lets each query see.

    queries (B, H, T, D); keys, values (B, K, S, D) with K a divisor of H → (B, H, T, D). A query
    that sees no key gets zeros. soft_cap: scores s become cap * tanh(s / cap) (Gemma 2, arXiv
    2408.00118). dropout: the share of weights that is zeroed.
    """
    if is_short(queries, mask, soft_cap, dropout):
        return block_attention(queries, keys, values)
    if soft_cap is None:
        seen = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask.allowed,
            is_causal=mask.causal,
            dropout_p=dropout,
            enable_gqa=queries.shape[1] != keys.shape[1],
        )
    else:
        seen = _capped(queries, keys, values, mask, soft_cap, dropout)
    return seen if mask.sees_any is None else seen * mask.sees_any


def is_short(x: Tensor, mask: Mask, soft_cap: float | None, dropout: float) -> bool:
    """Whether attention is made block by block: x (..., T, width) on a CPU, nothing but causal."""
    plain = mask.causal and not (soft_cap or dropout or x.is_cuda)
    return plain and x.shape[-2] <= LONGEST and not torch.compiler.is_compiling()


def _capped(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Mask, soft_cap: float, dropout: float
) -> Tensor:
    """Attention written out: PyTorch's kernels have no place for a cap."""
    groups = queries.shape[1] // keys.shape[1]
    keys, values = (x.repeat_interleave(groups, dim=1) for x in (keys, values))  # (B, H, S, D)
    scores = (queries @ keys.transpose(-1, -2)).float() * queries.shape[-1] ** -0.5  # (B, H, T, S)
    scores = soft_cap * torch.tanh(scores / soft_cap)
    if mask.causal:
        scores = scores + torch.full(scores.shape[-2:], -torch.inf, device=scores.device).triu(1)
    if mask.allowed is not None:
        scores = scores.masked_fill(~mask.allowed, -torch.inf)
    weights = F.dropout(torch.softmax(scores, dim=-1), dropout)
    return weights.to(values.dtype) @ values


class Attention(nn.Module):
    """Multi-head attention with `kv_heads` shared key and value heads (arXiv 2305.13245)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.soft_cap = config.attention_soft_cap
        self.query = Linear(config.d_model, config.heads * config.head_dim, config.bias)
        self.key = Linear(config.d_model, config.kv_heads * config.head_dim, config.bias)
        self.value = Linear(config.d_model, config.kv_heads * config.head_dim, config.bias)
        self.output = Linear(config.heads * config.head_dim, config.d_model, config.bias)
        self.query_norm, self.key_norm = None, None
        if config.qk_norm:
            self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon)
            self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        mask: Mask,
        rotary: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
    ) -> Tensor:
        """x (B, T, d_model) at positions `start` on looks at itself → (B, T, d_model).

        rotary (2, T, D/2): the angles of the positions; None for a model that does not turn.
        """
        packed = project(x, (self.query, self.key, self.value))
        sizes = self.heads, self.kv_heads, self.kv_heads
        q, k, v = packed.unflatten(-1, (-1, self.head_dim)).split(sizes, dim=2)  # (B, T, H, D) each
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if rotary is None:
            q, k = q.transpose(1, 2), k.transpose(1, 2)
        else:
            q, k = rotate(q, rotary), rotate(k, rotary)
        v = v.transpose(1, 2)  # (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(start, k, v)
        return self._output(attend(q, k, v, mask, self.soft_cap, self.dropout.active_share))

    def cross(self, x: Tensor, mask: Mask, keys: Tensor, values: Tensor) -> Tensor:
        """x (B, T, d_model) looks at a source's `keys_values` → (B, T, d_model)."""
        q = self.query(x).unflatten(-1, (self.heads, self.head_dim))  # (B, T, H, D)
        if self.query_norm is not None:
            q = self.query_norm(q)
        q = q.transpose(1, 2)  # (B, H, T, D)
        share = self.dropout.active_share
        return self._output(attend(q, keys, values, mask, self.soft_cap, share))

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What `cross` looks at in a source (B, S, d_model): keys and values (B, K, S, D)."""
        packed = project(source, (self.key, self.value)).unflatten(-1, (-1, self.head_dim))
        k, v = packed.chunk(2, dim=2)  # (B, S, K, D)
        if self.key_norm is not None:
            k = self.key_norm(k)
        return k.transpose(1, 2), v.transpose(1, 2)

    def _output(self, seen: Tensor) -> Tensor:
        """What all heads saw, (B, H, T, D) → (B, T, d_model)."""
        return self.output(seen.transpose(1, 2).flatten(2))
