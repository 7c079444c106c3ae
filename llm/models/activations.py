"""Activations of feed-forward layers.

GELU (Hendrycks and Gimpel, arXiv 1606.08415), exact or by tanh; ReLU squared (So et al., arXiv
2109.08668); SwiGLU's silu(gate) * up (Shazeer, arXiv 2002.05202).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models import kernels


def activate(x: Tensor, kind: str) -> Tensor:
    """The activation of a feed-forward layer without a gate, and of BERT's head (swiglu's: GELU)."""
    kind = kind if kind in ("relu2", "gelu_tanh") else "gelu"
    if kernels.usable(x):
        y: Tensor = _Activation.apply(x, kind)
        return y
    if kind == "relu2":
        return F.relu(x).square()
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, element by element."""
    if kernels.usable(gate):
        y: Tensor = _SwiGLU.apply(gate, up)
        return y
    return F.silu(gate) * up


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str) -> Tensor:
        from llm.models.kernels import activations, calls

        x = x.contiguous()
        y, slope = torch.empty_like(x), torch.empty_like(x)
        sweep = getattr(activations, kind)
        sweep(*map(calls.address, (x, y, slope)), x.numel(), calls.kind(x))
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _times(ctx.saved_tensors[0], gradient.contiguous()), None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        from llm.models.kernels import activations, calls

        gate, up = gate.contiguous(), up.contiguous()
        y, gate_slope, up_slope = (torch.empty_like(gate) for _ in range(3))
        tensors = gate, up, y, gate_slope, up_slope
        activations.swiglu(*map(calls.address, tensors), gate.numel(), calls.kind(gate))
        ctx.save_for_backward(gate_slope, up_slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate_slope, up_slope = ctx.saved_tensors
        gradient = gradient.contiguous()
        return _times(gate_slope, gradient), _times(up_slope, gradient)


def _times(slope: Tensor, gradient: Tensor) -> Tensor:
    from llm.models.kernels import activations, calls

    product = torch.empty_like(slope)
    tensors = slope, gradient, product
    activations.times(*map(calls.address, tensors), slope.numel(), calls.kind(slope))
    return product
