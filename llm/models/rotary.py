"""Rotary positions: queries and keys turned by an angle for each place in the row."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    if x.is_cuda or torch.compiler.is_compiling():  # fused there, so plain operations do
        cos, sin = rotary.to(x.dtype)
        first, second = x.transpose(1, 2).chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
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
        turn(x.transpose(1, 2), cos, sin, turned)
        return turned

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rotary,) = ctx.saved_tensors
        batch, heads, length, width = gradient.shape
        back = gradient.new_empty(batch, length, heads, width)
        cos, sin = rotary
        turn(gradient, cos, -sin, back.transpose(1, 2))
        return back, None


def turn(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> None:
    """out = x turned by angles: x and out (..., T, D), cos and sin (T, D/2) or what broadcasts."""
    first, second = x.chunk(2, dim=-1)
    turned_first, turned_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=turned_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=turned_second).addcmul_(first, sin)
