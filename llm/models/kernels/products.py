"""Products of bfloat16 matrices that add up in float32, for gradients of weights.

PyTorch's products of bfloat16 end in bfloat16, which then is to be added to what there is: on a
processor with AMX that takes longer than the sum that Intel's MKL makes at once
(cblas_gemm_bf16bf16f32, oneMKL's reference for C), and each addend is rounded. PyTorch's builds for
x86 carry MKL; without it, or without AMX, products are PyTorch's.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm.models.processor import has_amx

LIBRARY = "libtorch_cpu.so"
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # of CBLAS
INT, FLOAT, POINTER = ctypes.c_int, ctypes.c_float, ctypes.c_void_p


@cache
def gemm() -> Callable[..., None] | None:
    """MKL's function, where it is and is fast; depends on the machine alone, and so do bits."""
    if not has_amx():
        return None
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / LIBRARY))
        found: Any = library.cblas_gemm_bf16bf16f32
    except (OSError, AttributeError):
        return None
    found.restype = None
    found.argtypes = [
        INT,
        INT,
        INT,
        INT,
        INT,
        INT,
        FLOAT,
        POINTER,
        INT,
        POINTER,
        INT,
        FLOAT,
        POINTER,
        INT,
    ]
    function: Callable[..., None] = found
    return function


def can_add(total: Tensor, left: Tensor, right: Tensor) -> bool:
    """Whether `add_product` may be asked."""
    return (
        left.dtype == right.dtype == torch.bfloat16
        and total.dtype == torch.float32
        and total.device.type == "cpu"
        and all(
            one.stride(1) == 1 and one.stride(0) >= one.shape[1] for one in (total, left, right)
        )
        and gemm() is not None
    )


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left^T right: total (n, m) float32, left (k, n) and right (k, m) bfloat16.

    Their rows lie in one piece each, but need not lie next to one another.
    """
    function = gemm()
    assert function is not None
    (count, outputs), inputs = left.shape, right.shape[1]
    function(
        ROW_MAJOR, TRANSPOSED, AS_IT_IS, outputs, inputs, count,
        1.0, left.data_ptr(), left.stride(0), right.data_ptr(), right.stride(0),
        1.0, total.data_ptr(), total.stride(0),
    )  # fmt: skip
