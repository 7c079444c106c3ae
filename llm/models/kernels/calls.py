"""How kernels are called: by name, with addresses, since making an array of a tensor takes longer than
many a kernel.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from llm.models.kernels.machine_code import load


class Kernel:
    """A function of one of this package's modules, such as `norms.rms_norm`, as machine code.

    Called with the type of the numbers that it works on, and its arguments but the last: addresses and
    other plain numbers. It is loaded, or compiled (seconds), when it is first called with a type.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._loaded: dict[torch.dtype, Callable[..., None]] = {}

    def __call__(self, dtype: torch.dtype, *arguments: float) -> None:
        function = self._loaded.get(dtype) or self.load(dtype)
        function(*arguments)

    def load(self, dtype: torch.dtype) -> Callable[..., None]:
        """The function for a type of numbers."""
        function = load(self.name, str(dtype).removeprefix("torch."))
        self._loaded[dtype] = function
        return function


def address(x: Tensor | None) -> int:
    """Where x begins; it must lie in one piece. The caller holds on to it. 0 for None."""
    if x is None:
        return 0
    if not x.is_contiguous():
        raise ValueError(f"a kernel was given a tensor of strides {x.stride()}")
    return x.data_ptr()
