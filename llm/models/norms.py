"""LayerNorm and RMSNorm. Statistics are in float32 whatever the activations are."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.config import ModelConfig
from llm.models.kernels import availability


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
        if availability.usable(x, self.weight, self.bias):
            y: Tensor = _Norm.apply(x, self.weight, self.bias, self.epsilon, True)
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
        if availability.usable(x, self.weight):
            y: Tensor = _Norm.apply(x, self.weight, None, self.epsilon, False)
            return y
        if x.is_cuda:  # where PyTorch has it in one kernel
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return (wide * scale * self.weight).to(x.dtype)


class _Norm(torch.autograd.Function):
    """Either norm, by kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float, centred: bool
    ) -> Tensor:
        from llm.models.kernels import operations

        x = x.contiguous()
        ctx.norm = operations.Norm(weight, bias, epsilon, centred)
        y, statistics = operations.norm(x, ctx.norm)
        ctx.save_for_backward(x, statistics)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        from llm.models.kernels import operations

        x, statistics = ctx.saved_tensors
        return *operations.norm_slopes(slope.contiguous(), x, ctx.norm, statistics), None, None
