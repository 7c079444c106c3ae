"""Where a parameter's gradient is added to: its `.grad`, for parameters whose trainer has said so."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

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
