"""What the processor can do that decides how work is cut."""

from functools import cache

import torch


@cache
def has_amx() -> bool:
    """Whether it multiplies blocks of bfloat16 matrices (Intel AMX), many times as fast as others do."""
    return torch.cpu._is_amx_tile_supported()
