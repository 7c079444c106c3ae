"""The small parts of a transformer: linear maps, dropout.

Precision: parameters stay in float32 (they may be views of a trainer's flat buffer) and are cast to
the activations' type where they are used, so that their gradients arrive and add up in float32.
Casting every weight once a pass costs about 1 % of a training step.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from llm.models.gradient_places import sum_of
from llm.models.gradients import add_product, collect, collect_product, summed_rows
from llm.models.kernels import availability

if TYPE_CHECKING:
    from llm.models.kernels.choices import Drop
    from llm.models.low_rank import LowRank


class Linear(nn.Module):
    """y = x W^T + b; W (outputs, inputs) and b, where there is one, are cast to the type of x.

    low_rank: a learned change of W, which is frozen then (see `low_rank.LowRank`).
    """

    low_rank: "LowRank | None"

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.low_rank = None

    def forward(self, x: Tensor) -> Tensor:
        return project(x, (self,))


class Layer(NamedTuple):
    """Some linear maps side by side: weights, as many biases or none, and the changes of weights."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    changes: tuple["LowRank | None", ...]

    @classmethod
    def of(cls, *layers: Linear) -> "Layer":
        """From modules."""
        biases = tuple(layer.bias for layer in layers if layer.bias is not None)
        changes = tuple(layer.low_rank for layer in layers)
        return cls(tuple(layer.weight for layer in layers), biases, changes)

    def parameters(self) -> list[Tensor]:
        """All of them, in the order of what `learn` gives."""
        learned = [part for one in self.changes if one is not None for part in (one.down, one.up)]
        return [*self.weights, *self.biases, *learned]

    def low(self, dtype: torch.dtype) -> Tensor:
        """The weights with their changes as one, (outputs, inputs), cast."""
        if not any(self.changes):
            return side_by_side(self.weights, dtype)
        pairs = zip(self.weights, self.changes, strict=True)
        return _joined([one if add is None else add.added_to(one) for one, add in pairs], dtype)

    def onto(self, residual: Tensor | None, x: Tensor, low: Tensor) -> Tensor:
        """residual + x W^T + b: x (rows, inputs) → (rows, outputs)."""
        bias = side_by_side(self.biases, x.dtype) if self.biases else None
        if residual is None:
            return torch.mm(x, low.T) if bias is None else torch.addmm(bias, x, low.T)
        y = torch.addmm(residual, x, low.T)
        return y if bias is None else y.add_(bias)

    def learn(self, slope: Tensor, x: Tensor) -> list[Tensor | None]:
        """Deal with the gradients, from slope (rows, outputs) and x (rows, inputs).

        What autograd is given for weights, biases and changes.
        """
        frozen: list[Tensor | None] = [None] * (len(self.weights) + len(self.biases))
        if not any(self.changes):
            return (
                learn(self.weights, self.biases, slope, x)
                if self.weights[0].requires_grad
                else frozen
            )
        parts = slope.split([len(one) for one in self.weights], dim=1)
        for change, part in zip(self.changes, parts, strict=True):
            if change is not None:
                low = torch.mm(x, change.down.to(x.dtype).T).mul_(change.scale)
                through = torch.mm(part, change.up.to(x.dtype)).mul_(change.scale)
                frozen += [
                    collect_product(change.down, through, x),
                    collect_product(change.up, part, low),
                ]
        return frozen


def project(x: Tensor, layers: Sequence[Linear]) -> Tensor:
    """The outputs of some layers side by side: x (..., inputs) → (..., outputs of all).

    It is one product, since wider matrices keep a processor busier.
    """
    whole = Layer.of(*layers)
    learning = torch.is_grad_enabled()
    apart = any(one is not None and one.is_apart for one in whole.changes)
    fused = learning and x.device.type == "cpu" and not torch.compiler.is_compiling()
    if fused and not apart:
        y: Tensor = _Projection.apply(x, whole, *whole.parameters())
        return y
    bias = _joined(whole.biases, x.dtype) if whole.biases else None
    if not learning and not apart:
        return F.linear(x, whole.low(x.dtype), bias)
    y = F.linear(x, _joined(whole.weights, x.dtype), bias)
    if not any(whole.changes):
        return y
    parts = y.split([len(one) for one in whole.weights], dim=-1)
    pairs = zip(parts, whole.changes, strict=True)
    return torch.cat([one if add is None else one + add.change(x) for one, add in pairs], dim=-1)


def side_by_side(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Some layers' weights or biases as one, cast."""
    whole = as_one(parts)
    return _joined(parts, dtype) if whole is None else whole.to(dtype)


def _joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    if len(parts) == 1:
        return parts[0].to(dtype)
    return torch.cat([part.to(dtype) for part in parts])


def as_one(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Tensors that lie one right after the other, as in a trainer's flat buffer, as one; else None."""
    first = parts[0]
    if len(parts) == 1 or first is None:
        return first
    place, rows = first.data_ptr(), 0
    for part in parts:
        if part is None or not part.is_contiguous() or part.data_ptr() != place:
            return None
        place += part.numel() * part.element_size()
        rows += len(part)
    size = rows, *first.shape[1:]
    if first.untyped_storage().data_ptr() + first.untyped_storage().nbytes() < place:
        return None  # neighbours by chance
    return first.detach().as_strided(size, first.stride())


def learn(
    weights: Sequence[Tensor], biases: Sequence[Tensor], slope: Tensor, x: Tensor
) -> list[Tensor | None]:
    """Deal with the gradients of layers side by side, from slope (rows, outputs) and x (rows, inputs).

    What autograd is given for each of the weights, and then for each of the biases.
    """
    sizes = [len(one) for one in weights]
    whole = as_one([sum_of(one) for one in weights])
    if whole is not None:
        add_product(whole, slope, x)
        made: list[Tensor | None] = [None] * len(weights)
    else:
        parts = slope.split(sizes, dim=1)
        made = [collect_product(one, part, x) for one, part in zip(weights, parts, strict=True)]
    if biases:
        sums = summed_rows(slope).split(sizes)
        made += [collect(one, part) for one, part in zip(biases, sums, strict=True)]
    return made


class _Projection(torch.autograd.Function):
    """A product that adds its weights' gradients where they belong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer, *parameters: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        weight = layer.low(x.dtype)
        ctx.save_for_backward(flat, weight)
        ctx.layer, ctx.shape = layer, x.shape
        if layer.biases:
            y = torch.addmm(side_by_side(layer.biases, x.dtype), flat, weight.T)
        else:
            y = flat @ weight.T
        return y.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight = ctx.saved_tensors
        slope = slope.reshape(-1, len(weight))
        made = ctx.layer.learn(slope, flat)
        grad_x = (slope @ weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, None, *made


class Dropout(nn.Module):
    """Zero a share of the elements and scale up the rest (arXiv 1207.0580), in training alone.

    Never where no gradients are made: what only measures or generates sees the whole model, whether
    or not its caller thought of `eval()`.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    @property
    def active_share(self) -> float:
        """The share that is zeroed now."""
        return self.share if self.training and torch.is_grad_enabled() else 0.0

    def forward(self, x: Tensor) -> Tensor:
        share = self.active_share
        if share and availability.usable(x):
            from llm.models.kernels.choices import Drop

            y: Tensor = _Dropped.apply(x, Drop.drawn(share))
            return y
        return F.dropout(x, share) if share else x


class _Dropped(torch.autograd.Function):
    """Dropout by kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, by: "Drop") -> Tensor:
        from llm.models.kernels import operations

        ctx.by = by
        return operations.drop(x.contiguous(), by)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        from llm.models.kernels import operations

        return operations.drop(slope.contiguous(), ctx.by), None
