"""Causal self-attention: rotary positions, grouped key and value heads, normalised queries and keys."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.config import DecoderConfig
from llm.models.layers import Linear, RMSNorm


class LayerCache:
    """The keys and values that one layer has seen, (B, K, capacity, D) each."""

    def __init__(self, batch: int, config: DecoderConfig, capacity: int, like: Tensor) -> None:
        shape = (batch, config.kv_heads, capacity, config.head_dim)
        self.keys = like.new_empty(shape)
        self.values = like.new_empty(shape)

    def extend(self, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, K, T, D) at positions `start` on; everything up to their end comes back."""
        end = start + keys.shape[2]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        return self.keys[:, :, :end], self.values[:, :, :end]


def rotary_table(positions: int, head_dim: int, theta: float) -> Tensor:
    """cos and sin of every position's angles, (2, positions, head_dim), float32.

    Su et al., RoFormer (arXiv 2104.09864), in the half-split layout of Llama and Qwen: elements i
    and i + head_dim/2 turn together by position * theta^(-2i/head_dim).
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2).double() / head_dim)
    angles = torch.arange(positions).double()[:, None] * frequencies  # (positions, head_dim/2)
    angles = torch.cat((angles, angles), dim=-1)
    return torch.stack((angles.cos(), angles.sin())).float()


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Turn x (B, H, T, D) by the angles of rotary (2, T, D)."""
    cos, sin = rotary.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def attend(queries: Tensor, keys: Tensor, values: Tensor, segments: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V, each token seeing itself and what stands before it.

    queries (B, H, T, D); keys, values (B, K, S, D), S >= T: the last query stands at the last key.
    segments (B, S): tokens see only tokens of their own segment; None: everything before them.
    """
    length, seen = queries.shape[2], keys.shape[2]
    grouped = queries.shape[1] != keys.shape[1]
    if segments is None and length == seen:
        return F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, enable_gqa=grouped
        )
    allowed = torch.ones(length, seen, dtype=torch.bool, device=queries.device)
    allowed = allowed.tril(seen - length)
    if segments is not None:
        same = segments[:, -length:, None] == segments[:, None, :]  # (B, T, S)
        allowed = (allowed & same)[:, None]
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=allowed, enable_gqa=grouped
    )


class Attention(nn.Module):
    """Multi-head attention with `kv_heads` shared key and value heads (arXiv 2305.13245)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.query = Linear(config.d_model, config.heads * config.head_dim)
        self.key = Linear(config.d_model, config.kv_heads * config.head_dim)
        self.value = Linear(config.d_model, config.kv_heads * config.head_dim)
        self.output = Linear(config.heads * config.head_dim, config.d_model)
        self.query_norm, self.key_norm = None, None
        if config.qk_norm:
            self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon)
            self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon)

    def forward(
        self,
        x: Tensor,
        rotary: Tensor,
        segments: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
    ) -> Tensor:
        """x (B, T, d_model) at positions `start` on, rotary (2, T, D) → (B, T, d_model)."""
        batch, length, _ = x.shape
        q = self.query(x).view(batch, length, self.heads, self.head_dim)
        k = self.key(x).view(batch, length, self.kv_heads, self.head_dim)
        v = self.value(x).view(batch, length, self.kv_heads, self.head_dim)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, heads, T, D)
        q, k = rotate(q, rotary), rotate(k, rotary)
        if cache is not None:
            k, v = cache.extend(start, k, v)
        mixed = attend(q, k, v, segments)  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))
