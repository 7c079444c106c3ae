"""How a layout's tensors and a model's parameters stand to each other.

A layout is a table: the name of each tensor in the file, and which of our parameters it holds. Most
hold one as it is; GPT-2's hold queries, keys and values in one, transposed, with biases in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stored:
    """What one tensor of a file holds.

    parameters: our names, along the first dimension. transposed: whether the file has inputs first.
    zeros: the tensor's shape where the model has no such parameters: the file holds zeros then.
    unread: how many rows of the file come before the parameter's: nobody reads them, zeros are written.
    """

    parameters: tuple[str, ...]
    transposed: bool = False
    zeros: tuple[int, ...] = ()
    unread: int = 0


Table = Mapping[str, Stored]


def stored_name(table: Table, parameter: str) -> str:
    """The name of the tensor that holds one of our parameters."""
    return next(name for name, stored in table.items() if parameter in stored.parameters)
