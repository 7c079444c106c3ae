"""One layer of a transformer in training on a CPU, as one function of autograd: few and large steps.

What a `block.Block` does without a source, where texts are short. In small models most of a step goes
into starting operations: here a layer is its matrix products and a sweep or two between them, and what
the residual stream adds is added by products and sweeps that are there anyway (see `sublayers`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from llm.models.activations import kernel_of
from llm.models.kernels.choices import Drop
from llm.models.kernels.operations import Heads, Norm
from llm.models.layers import Layer, Linear
from llm.models.norms import LayerNorm, RMSNorm
from llm.models.spans import Spans
from llm.models.sublayers import Attending, FeedForward, Sublayer


def members(block: Any) -> tuple[Any, ...]:
    """The modules whose work a fused block does, None where it has none."""
    attention, feed_forward = block.attention, block.feed_forward
    return (
        block.attention_norm, attention.query, attention.key, attention.value, attention.query_norm,
        attention.key_norm, attention.output, block.feed_forward_norm, feed_forward.gate,
        feed_forward.up, feed_forward.down,
    )  # fmt: skip


KINDS = (Linear, LayerNorm, RMSNorm)


def is_whole(block: Any) -> bool:
    """Whether a `block.Block` has its own modules alone, and nobody looks at them."""
    modules = [one for one in members(block) if one is not None]
    for one in (block.attention, block.feed_forward, *modules):
        if one._forward_hooks or one._forward_pre_hooks or one._backward_hooks:
            return False
    return all(type(one) in KINDS and not _is_apart(one) for one in modules)


def sublayers_of(
    block: Any, spans: Spans, rotary: Tensor | None, wanted: Tensor | None
) -> tuple[Attending, FeedForward]:
    """The two sublayers of a block that `is_whole`, with choices of dropout for one pass.

    wanted (n,) int64: the positions whose states are wanted; None: all.
    """
    attention, feed_forward = block.attention, block.feed_forward
    norms, epsilon = (None, None), 0.0
    if attention.query_norm is not None:
        norms = (attention.query_norm.weight, attention.key_norm.weight)
        epsilon = attention.query_norm.epsilon
    first = Attending(
        pre=block.pre,
        norm=_norm(block.attention_norm),
        last=Layer.of(attention.output),
        drop=Drop.drawn(block.dropout.active_share),
        wanted=wanted,
        projection=Layer.of(attention.query, attention.key, attention.value),
        heads=Heads(attention.heads, attention.kv_heads, attention.head_dim, norms, epsilon),
        spans=spans,
        rotary=None if rotary is None else rotary.contiguous(),
        weights_drop=Drop.drawn(attention.dropout.active_share),
    )
    second = FeedForward(
        pre=block.pre,
        norm=_norm(block.feed_forward_norm),
        last=Layer.of(feed_forward.down),
        drop=Drop.drawn(block.dropout.active_share),
        wanted=wanted,
        gate=Layer.of(feed_forward.gate) if feed_forward.gate is not None else None,
        up=Layer.of(feed_forward.up),
        activation=kernel_of(feed_forward.kind),
    )
    return first, second


def _is_apart(module: Any) -> bool:
    """Whether a layer has a change that is no part of its matrix."""
    change = getattr(module, "low_rank", None)
    return change is not None and change.is_apart


def _norm(module: nn.Module) -> Norm:
    bias = getattr(module, "bias", None)
    weight, epsilon = module.weight, module.epsilon
    return Norm(weight, bias, epsilon, centred=hasattr(module, "bias"))  # type: ignore[arg-type]


def fused(x: Tensor, sublayers: Sequence[Sublayer]) -> Tensor:
    """x (B, T, d_model) through sublayers, one after the other: the same shape.

    Or only what is wanted of it, (n, d_model), where they say so.
    """
    parameters = [part for one in sublayers for part in one.parameters()]
    y: Tensor = _FusedBlock.apply(x, sublayers, *parameters)
    return y


class _FusedBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sublayers: Sequence[Sublayer], *parameters: Tensor | None
    ) -> Tensor:
        ctx.shape = x.shape
        x = x.contiguous().view(-1, x.shape[-1])
        # Not by save_for_backward, which would unpack each again; `backward` lets go of them.
        ctx.kept = []
        for one in sublayers:
            x, kept = one.forward(x)
            ctx.kept.append((one, kept))
        return x.view(ctx.shape) if sublayers[0].wanted is None else x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.kept is None:
            raise RuntimeError("the backward pass of a fused block can be made once")
        kept, ctx.kept = ctx.kept, None
        slope = slope.contiguous().view(-1, slope.shape[-1])
        made: list[Tensor | None] = []
        while kept:
            one, of_forward = kept.pop()
            slope, some = one.backward(slope, of_forward)
            del of_forward
            made = some + made
        return slope.view(ctx.shape), None, *made
