"""How kernels are called: with addresses, since making an array of a tensor takes longer than many
a kernel.
"""

import numpy as np
import torch
from torch import Tensor

# A number of the type that a kernel sees: bfloat16 is the upper half of a float32.
KINDS: dict[torch.dtype, np.float32 | np.uint16] = {
    torch.float32: np.float32(0),
    torch.bfloat16: np.uint16(0),
}


def address(x: Tensor) -> int:
    """Where x begins; it must lie in one piece. The caller holds on to it."""
    if not x.is_contiguous():
        raise ValueError(f"a kernel was given a tensor of strides {x.stride()}")
    return x.data_ptr()


def kind(x: Tensor) -> np.float32 | np.uint16:
    """What a kernel is told of the type of x."""
    return KINDS[x.dtype]
