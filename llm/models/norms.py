"""LayerNorm and RMSNorm. Statistics are in float32 whatever the activations are."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models import kernels
from llm.models.config import ModelConfig
from llm.models.gradients import place_for


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm that a model's recipe names, as wide as the residual stream."""
    if config.norm == "layernorm":
        return LayerNorm(config.d_model, config.norm_epsilon, config.bias)
    return RMSNorm(config.d_model, config.norm_epsilon)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension.

    Ba, Kiros and Hinton, Layer Normalization (arXiv 1607.06450).
    """

    def __init__(self, width: int, epsilon: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if kernels.usable(x, self.weight, self.bias):
            y: Tensor = _LayerNorm.apply(x, self.weight, self.bias, self.epsilon)
            return y
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if x.is_cuda:
            weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        elif bias is None:
            # Beside bfloat16, the CPU's kernel reads float32 weights only when biases are, too.
            bias = torch.zeros_like(weight)
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension.

    Zhang and Sennrich, Root Mean Square Layer Normalization (arXiv 1910.07467).
    """

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if kernels.usable(x, self.weight):
            y: Tensor = _RMSNorm.apply(x, self.weight, self.epsilon)
            return y
        if x.is_cuda:  # where PyTorch has it in one kernel
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return (wide * scale * self.weight).to(x.dtype)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
        from llm.models.kernels.calls import address, kind
        from llm.models.kernels.norms import layer_norm

        x = x.contiguous()
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        y = torch.empty_like(x)
        means, scales = x.new_empty((2, rows), dtype=torch.float32)
        shift = 0 if bias is None else address(bias)
        layer_norm(
            address(x), address(weight), shift, address(y), address(means), address(scales),
            rows, width, np.float32(epsilon), bias is not None, kind(x),
        )  # fmt: skip
        ctx.save_for_backward(x, means, scales)
        ctx.weight, ctx.bias = weight, bias
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        from llm.models.kernels.calls import address, kind
        from llm.models.kernels.norms import layer_norm_slopes

        x, means, scales = ctx.saved_tensors
        slope, grad_x = slope.contiguous(), torch.empty_like(x)
        weight, bias = ctx.weight, ctx.bias
        total, grad_weight = place_for(weight)
        shift, grad_bias = (None, None) if bias is None else place_for(bias)
        layer_norm_slopes(
            address(slope), address(x), address(weight), address(means), address(scales),
            address(grad_x), address(total), 0 if shift is None else address(shift),
            len(scales), x.shape[-1], bias is not None, kind(x),
        )  # fmt: skip
        return grad_x, grad_weight, grad_bias, None


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        from llm.models.kernels.calls import address, kind
        from llm.models.kernels.norms import rms_norm

        x = x.contiguous()
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        y, scales = torch.empty_like(x), x.new_empty(rows, dtype=torch.float32)
        rms_norm(
            address(x), address(weight), address(y), address(scales),
            rows, width, np.float32(epsilon), kind(x),
        )  # fmt: skip
        ctx.save_for_backward(x, scales)
        ctx.weight = weight
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        from llm.models.kernels.calls import address, kind
        from llm.models.kernels.norms import rms_norm_slopes

        x, scales = ctx.saved_tensors
        slope, grad_x = slope.contiguous(), torch.empty_like(x)
        total, grad_weight = place_for(ctx.weight)
        rms_norm_slopes(
            address(slope), address(x), address(ctx.weight), address(scales), address(grad_x),
            address(total), len(scales), x.shape[-1], kind(x),
        )  # fmt: skip
        return grad_x, grad_weight, None
