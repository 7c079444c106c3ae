"""Causal self-attention: rotary positions, grouped key and value heads, normalised queries and keys."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.block_attention import LONGEST, block_attention
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
    """cos and sin of every position's angles, (2, positions, head_dim/2), float32.

    Su et al., RoFormer (arXiv 2104.09864), in the half-split layout of Llama and Qwen: elements i
    and i + head_dim/2 turn together by position * theta^(-2i/head_dim).
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2).double() / head_dim)
    angles = torch.arange(positions).double()[:, None] * frequencies  # (positions, head_dim/2)
    return torch.stack((angles.cos(), angles.sin())).float()


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Turn x (B, T, H, D) by the angles of rotary (2, T, D/2): (B, H, T, D)."""
    turned: Tensor = _Rotation.apply(x, rotary.to(x.dtype))
    return turned


class _Rotation(torch.autograd.Function):
    """Both halves written where they belong, and transposed on the way: one sweep over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rotary: Tensor) -> Tensor:
        ctx.save_for_backward(rotary)
        batch, length, heads, width = x.shape
        turned = x.new_empty(batch, heads, length, width)
        cos, sin = rotary
        _turn(x.transpose(1, 2), cos, sin, turned)
        return turned

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rotary,) = ctx.saved_tensors
        batch, heads, length, width = gradient.shape
        back = gradient.new_empty(batch, length, heads, width)
        cos, sin = rotary
        _turn(gradient, cos, -sin, back.transpose(1, 2))
        return back, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> None:
    """out = x turned by angles: x and out (..., T, D), cos and sin (T, D/2)."""
    first, second = x.chunk(2, dim=-1)
    turned_first, turned_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=turned_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=turned_second).addcmul_(first, sin)


def attend(queries: Tensor, keys: Tensor, values: Tensor, segments: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V, each token seeing itself and what stands before it.

    queries (B, H, T, D); keys, values (B, K, S, D), S >= T: the last query stands at the last key.
    segments (B, S): tokens see only tokens of their own segment; None: everything before them.
    """
    length, seen = queries.shape[2], keys.shape[2]
    grouped = queries.shape[1] != keys.shape[1]
    if segments is None and length == seen:
        if not queries.is_cuda and length <= LONGEST:
            return block_attention(queries, keys, values)
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
        """x (B, T, d_model) at positions `start` on, rotary (2, T, D/2) → (B, T, d_model)."""
        batch, length, _ = x.shape
        # One product for all three: wider matrices keep the processor busier.
        projections = (self.query.weight, self.key.weight, self.value.weight)
        mixed = F.linear(x, torch.cat(projections).to(x.dtype))
        sizes = [self.heads, self.kv_heads, self.kv_heads]
        q, k, v = mixed.view(batch, length, -1, self.head_dim).split(sizes, dim=2)  # (B, T, H, D)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k, v = rotate(q, rotary), rotate(k, rotary), v.transpose(1, 2)  # (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(start, k, v)
        seen = attend(q, k, v, segments)  # (B, H, T, D)
        return self.output(seen.transpose(1, 2).reshape(batch, length, -1))
