"""Compiling a model with torch.compile, for training alone."""

from collections.abc import Iterator

import torch
from torch import nn


def compile_model(model: nn.Module, by_block: bool = False) -> None:
    """From now on the model's passes are compiled, for each shape that comes.

    As a whole, which fuses most; by_block: each block on its own, so that one's gradients are ready,
    or its parameters may go, while others are worked on. The head and the loss are compiled apart.
    Models without blocks (baselines) stay as they are.
    """
    if not hasattr(model, "fused_loss"):
        return
    for module, name in _places(model, by_block):
        setattr(module, name, torch.compile(getattr(module, name), dynamic=False))
    model.fused_loss = True  # type: ignore[assignment]


def as_it_was(model: nn.Module) -> None:
    """Undo `compile_model`: rows of any shape may come now."""
    if not hasattr(model, "fused_loss"):
        return
    for by_block in (False, True):
        for module, name in _places(model, by_block):
            vars(module).pop(name, None)  # the class's own method is seen again
    model.fused_loss = False  # type: ignore[assignment]


def is_block(module: nn.Module) -> bool:
    """Whether a module of a model is one of its blocks, as `llm.models.block` has them."""
    return getattr(module, "is_block", False)


def _places(model: nn.Module, by_block: bool) -> Iterator[tuple[nn.Module, str]]:
    """What is compiled: modules, and the names of their methods."""
    if not by_block:
        yield model, "hidden_states"
        return
    for module in model.modules():
        if is_block(module):
            yield module, "forward"
