"""Activations of feed-forward layers.

GELU (Hendrycks and Gimpel, arXiv 1606.08415), exact or by tanh; ReLU squared (So et al., arXiv
2109.08668); SwiGLU's silu(gate) * up (Shazeer, arXiv 2002.05202).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.kernels import availability


def activate(x: Tensor, kind: str) -> Tensor:
    """The activation of a feed-forward layer without a gate, and of BERT's head (swiglu's: GELU)."""
    if availability.usable(x):
        y: Tensor = _Activation.apply(x, kernel_of(kind))
        return y
    if kind == "relu2":
        return F.relu(x).square()
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


def kernel_of(kind: str) -> str:
    """The name of the kernel of `activate`."""
    return kind if kind in ("relu2", "gelu_tanh") else "gelu"


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, element by element."""
    if availability.usable(gate):
        y: Tensor = _SwiGLU.apply(gate, up)
        return y
    return F.silu(gate) * up


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, name: str) -> Tensor:
        from llm.models.kernels import operations

        y, slope = operations.activate(x.contiguous(), name)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        from llm.models.kernels import operations

        return operations.times(ctx.saved_tensors[0], gradient.contiguous()), None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        from llm.models.kernels import operations

        y, gate_slope, up_slope = operations.swiglu(gate.contiguous(), up.contiguous())
        ctx.save_for_backward(gate_slope, up_slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        from llm.models.kernels import operations

        gradient = gradient.contiguous()
        gate_slope, up_slope = (operations.times(one, gradient) for one in ctx.saved_tensors)
        return gate_slope, up_slope
