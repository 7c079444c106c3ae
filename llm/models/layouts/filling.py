"""A model's parameters into the tensors of a layout, and back."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from llm.models.layouts.table import Table
from llm.step import BadInput


def as_stored(model: nn.Module, table: Table) -> dict[str, Tensor]:
    """The tensors of a file, by name: float32, on the CPU, copies."""
    parameters = dict(model.named_parameters())
    tensors = {}
    for name, stored in table.items():
        if stored.zeros:
            tensors[name] = torch.zeros(stored.zeros)
            continue
        parts = [parameters[own].detach().float().cpu() for own in stored.parameters]
        if stored.unread:
            parts.insert(0, torch.zeros(stored.unread, *parts[0].shape[1:]))
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        tensors[name] = (whole.T if stored.transposed else whole).clone(
            memory_format=torch.contiguous_format
        )
    return tensors


@torch.no_grad()
def fill(
    model: nn.Module, table: Table, tensors: Iterable[tuple[str, Tensor]], folder: Path
) -> set[str]:
    """Copy tensors into the model's parameters; the names of the parameters that none was for.

    Raises BadInput for a tensor that the table does not have, or that has another shape.
    """
    parameters = dict(model.named_parameters())
    missing = set(parameters)
    for name, tensor in tensors:
        if name not in table:
            raise BadInput(f"{folder}: tensor {name} has no place in the model of config.json")
        stored = table[name]
        if stored.zeros:
            if tensor.count_nonzero():
                raise BadInput(
                    f"{folder}: tensor {name} is not zero, but the model of config.json has no such biases"
                )
            continue
        targets = [parameters[own] for own in stored.parameters]
        rows = stored.unread + sum(len(target) for target in targets)
        shape = (rows, *targets[0].shape[1:])
        if stored.transposed:
            shape = shape[::-1]
        if tuple(tensor.shape) != shape:
            raise BadInput(
                f"{folder}: tensor {name} is {tuple(tensor.shape)}, config.json makes it {shape}"
            )
        read = (tensor.T if stored.transposed else tensor)[stored.unread :]
        parts = read.split([len(one) for one in targets])
        for target, part in zip(targets, parts, strict=True):
            target.copy_(part)
        missing -= set(stored.parameters)
    return missing
