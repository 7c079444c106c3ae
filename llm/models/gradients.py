"""Gradients that are added, as soon as they are made, to where a trainer wants them.

Autograd would make each in the parameter's type, of its size, and then add it to `.grad`: three
sweeps over memory, and for an embedding of 32,768 words mostly over zeros. Functions here add what
they made themselves and tell autograd nothing, for parameters whose trainer has said so (Megatron's
"gradient accumulation fusion").
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.gradient_places import place_for, sum_of
from llm.models.kernels import availability, products


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


def summed_rows(x: Tensor) -> Tensor:
    """The sum of the rows of x (n, width): (width,) float32."""
    if not availability.usable(x, inside=True) or not x.is_contiguous():
        return x.sum(0, dtype=torch.float32)
    from llm.models.kernels import operations

    total = x.new_zeros(x.shape[1], dtype=torch.float32)
    operations.add_rows(total, x)
    return total


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
