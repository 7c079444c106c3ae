"""Gradients that are added, as soon as they are made, to where a trainer wants them.

Autograd would make each in the parameter's type, of its size, and then add it to `.grad`: three
sweeps over memory, and for an embedding of 32,768 words mostly over zeros. Functions here add what
they made themselves and tell autograd nothing, for parameters whose trainer has said so (Megatron's
"gradient accumulation fusion").
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.kernels import availability, products

IN_PLACE = "adds_gradients_in_place"  # an attribute of a parameter


def add_in_place(parameters: Iterable[nn.Parameter], wanted: bool = True) -> None:
    """From now on, gradients of these are added to their `.grad`, whenever they have one.

    Not for parameters with hooks, nor for `torch.autograd.grad`, which would find none. Every loss
    that is made must be learned from as it is (`loss.backward()`).
    """
    for parameter in parameters:
        setattr(parameter, IN_PLACE, wanted)


def sum_of(parameter: Tensor) -> Tensor | None:
    """What a gradient of the parameter is to be added to; None: autograd is given it."""
    wanted = parameter.requires_grad and getattr(parameter, IN_PLACE, False)
    return parameter.grad if wanted else None


def place_for(parameter: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a kernel adds the parameter's gradient to, and what autograd is given afterwards."""
    total = sum_of(parameter)
    if total is not None:
        return total, None
    made = torch.zeros_like(parameter)
    return made, made


def collect(parameter: Tensor, made: Tensor) -> Tensor | None:
    """Deal with a gradient of the parameter; what autograd is given."""
    total = sum_of(parameter)
    if total is None:
        return made.to(parameter.dtype)
    add(total, made)
    return None


def collect_product(parameter: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """`collect` of left^T right: (k, n) and (k, m) for a parameter (n, m)."""
    total = sum_of(parameter)
    if total is None:
        return torch.mm(left.T, right).to(parameter.dtype)
    add_product(total, left, right)
    return None


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left^T right, for a total in float32: (n, m), (k, n) and (k, m)."""
    if total.dtype == left.dtype:
        total.addmm_(left.T, right)
    elif products.can_add(total, left, right):
        products.add_product(total, left, right)
    else:
        add(total, torch.mm(left.T, right))


def add(total: Tensor, made: Tensor) -> None:
    """total += made, for a total in float32."""
    if availability.usable(made, total, inside=True) and total.is_contiguous():
        from llm.models.kernels import operations

        operations.add(total, made.contiguous())
    else:
        total += made


def embed(tokens: Tensor, table: Tensor) -> Tensor:
    """The rows of a table (V, d) for tokens (...,): (..., d)."""
    if sum_of(table) is None or not torch.is_grad_enabled():
        return F.embedding(tokens, table)
    x: Tensor = _Embedding.apply(tokens, table)
    return x


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.table = table
        return F.embedding(tokens, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor | None]:
        (tokens,) = ctx.saved_tensors
        total, made = place_for(ctx.table)
        total.index_add_(0, tokens.flatten(), slope.flatten(0, -2).to(total.dtype))
        return None, made
