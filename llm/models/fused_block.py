"""One layer of a decoder in training on a CPU, as one function of autograd: few and large steps.

What a `block.Block` does, where it is pre-norm, looks at no source, drops nothing out, and its rows
are short and causal. In small models most of a step goes into starting operations: here a layer is
its matrix products and a sweep or two between them, and what the residual stream adds is added by
products and sweeps that are there anyway.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from llm.models import head_attention
from llm.models.activations import kernel_of
from llm.models.kernels import operations
from llm.models.kernels.operations import Heads, Norm
from llm.models.layers import Layer, Linear
from llm.models.norms import LayerNorm, RMSNorm


class Parts(NamedTuple):
    """A block's parameters, by what they are part of. gate: None without SwiGLU."""

    attention_norm: Norm
    projection: Layer
    heads: Heads
    output: Layer
    feed_forward_norm: Norm
    gate: Layer | None
    up: Layer
    down: Layer
    activation: str

    def parameters(self) -> list[Tensor | None]:
        """All of them, in the order of what `_FusedBlock.backward` gives."""
        layers = [
            self.projection,
            self.output,
            *([self.gate] if self.gate else []),
            self.up,
            self.down,
        ]
        found: list[Tensor | None] = []
        for norm in (self.attention_norm, self.feed_forward_norm):
            found += [norm.weight, norm.bias]
        found += self.heads.norms
        for layer in layers:
            found += layer.parameters()
        return found


def members(block: Any) -> tuple[Any, ...]:
    """The modules whose work a fused block does, None where it has none."""
    attention, feed_forward = block.attention, block.feed_forward
    return (
        block.attention_norm, attention.query, attention.key, attention.value, attention.query_norm,
        attention.key_norm, attention.output, block.feed_forward_norm, feed_forward.gate,
        feed_forward.up, feed_forward.down,
    )  # fmt: skip


KINDS = (Linear, LayerNorm, RMSNorm)


def parts_of(block: Any) -> Parts | None:
    """The parts of a `block.Block`; None when somebody put other modules in, or looks at its own."""
    modules = [one for one in members(block) if one is not None]
    for one in (block.attention, block.feed_forward, *modules):
        if one._forward_hooks or one._forward_pre_hooks or one._backward_hooks:
            return None
    if any(type(one) not in KINDS or _is_apart(one) for one in modules):
        return None
    attention, feed_forward = block.attention, block.feed_forward
    norms, epsilon = (None, None), 0.0
    if attention.query_norm is not None:
        norms = (attention.query_norm.weight, attention.key_norm.weight)
        epsilon = attention.query_norm.epsilon
    return Parts(
        _norm(block.attention_norm),
        Layer.of(attention.query, attention.key, attention.value),
        Heads(attention.heads, attention.kv_heads, attention.head_dim, norms, epsilon),
        Layer.of(attention.output),
        _norm(block.feed_forward_norm),
        Layer.of(feed_forward.gate) if feed_forward.gate is not None else None,
        Layer.of(feed_forward.up),
        Layer.of(feed_forward.down),
        kernel_of(feed_forward.kind),
    )


def _is_apart(module: Any) -> bool:
    """Whether a layer has a change that is no part of its matrix."""
    change = getattr(module, "low_rank", None)
    return change is not None and change.is_apart


def _norm(module: nn.Module) -> Norm:
    bias = getattr(module, "bias", None)
    weight, epsilon = module.weight, module.epsilon
    return Norm(weight, bias, epsilon, centred=hasattr(module, "bias"))  # type: ignore[arg-type]


def fused_block(x: Tensor, parts: Parts, rotary: Tensor | None) -> Tensor:
    """x (B, T, d_model) through the block, every position seeing those before it: the same shape."""
    rotary = None if rotary is None else rotary.contiguous()
    y: Tensor = _FusedBlock.apply(x, parts, rotary, *parts.parameters())
    return y


class _FusedBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, parts: Parts, rotary: Tensor | None, *parameters: Tensor | None
    ) -> Tensor:
        shape, dtype = x.shape, x.dtype
        x = x.contiguous().view(-1, shape[-1])
        projection, output, up, down = (
            layer.low(dtype) for layer in (parts.projection, parts.output, parts.up, parts.down)
        )
        before, before_statistics = operations.norm(x, parts.attention_norm)
        packed = parts.projection.onto(None, before, projection)
        seen, of_attention = head_attention.attend(packed, parts.heads, shape[1], rotary)
        middle = parts.output.onto(x, seen, output)
        normal, statistics = operations.norm(middle, parts.feed_forward_norm)
        raised = parts.up.onto(None, normal, up)
        gate = None
        if parts.gate is None:
            hidden, *slopes = operations.activate(raised, parts.activation)
        else:
            gate = parts.gate.low(dtype)
            gated = parts.gate.onto(None, normal, gate)
            hidden, *slopes = operations.swiglu(gated, raised)
        y = parts.down.onto(middle, hidden, down)
        # Not by save_for_backward, which would unpack each again; `backward` lets go of them.
        ctx.parts, ctx.shape = parts, shape
        ctx.kept = (
            x, before, before_statistics, projection, of_attention, seen, output, middle, normal,
            statistics, up, gate, hidden, slopes, down,
        )  # fmt: skip
        return y.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        parts: Parts = ctx.parts
        if ctx.kept is None:
            raise RuntimeError("the backward pass of a fused block can be made once")
        (
            x, before, before_statistics, projection, of_attention, seen, output, middle, normal,
            statistics, up, gate, hidden, slopes, down,
        ) = ctx.kept  # fmt: skip
        ctx.kept = None
        slope = slope.contiguous().view(x.shape)
        made_down = parts.down.learn(slope, hidden)
        changes = torch.mm(slope, down)
        raised = operations.times(slopes[-1], changes)
        made_up = parts.up.learn(raised, normal)
        arrived, made_gate = torch.mm(raised, up), []
        if parts.gate is not None:
            gated = operations.times(slopes[0], changes)
            made_gate = parts.gate.learn(gated, normal)
            arrived.addmm_(gated, gate)
        slope, *made_norm = operations.norm_slopes(
            arrived, middle, parts.feed_forward_norm, statistics, slope
        )
        made_output = parts.output.learn(slope, seen)
        packed, *made_heads = head_attention.attend_slopes(
            torch.mm(slope, output), parts.heads, of_attention
        )
        made_projection = parts.projection.learn(packed, before)
        slope, *made_before = operations.norm_slopes(
            torch.mm(packed, projection), x, parts.attention_norm, before_statistics, slope
        )
        made = (*made_before, *made_norm, *made_heads, *made_projection, *made_output, *made_gate)
        return slope.view(ctx.shape), None, None, *made, *made_up, *made_down
