"""Sweeps over memory that PyTorch has not in one, compiled for the CPU by numba.

On a CPU a training step's matrix products are quick; what lies between them, swept over again and
again by one small operation after the other, takes as long. Each kernel does in one sweep, a row at
a time in the core's cache, what would take three to twelve.

They are used where gradients are made and numba is installed: `usable` says. Elsewhere (on a GPU,
under torch.compile, in generation and evaluation) the same formulas are PyTorch's operations, and
tests hold one against the other.
"""

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor

from llm.models.processor import has_amx

TYPES = (torch.float32, torch.bfloat16)


def usable(
    x: Tensor,
    *parameters: Tensor | None,
    inside: bool = False,
    kinds: tuple[torch.dtype, ...] = TYPES,
) -> bool:
    """Whether what is done to x with these parameters, here and now, may be done by kernels.

    inside: asked by an autograd function, within which gradients of gradients are not made. kinds: what
    types x may be of.
    """
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype in kinds
        and not [one for one in parameters if one is not None and one.dtype != torch.float32]
        and (inside or torch.is_grad_enabled())
        and installed()
    )


@cache
def installed() -> bool:
    """Whether there is a numba; it is imported when a kernel has to be compiled."""
    try:
        return find_spec("numba") is not None
    except ImportError:
        return False


@cache
def made_by() -> str:
    """What bits of the kernels' results depend on: the compiler and the processor; "" without."""
    if not installed():
        return ""
    import llvmlite.binding as llvm

    name = llvm.get_host_cpu_name()
    return f"numba {version('numba')} for {name}{' with AMX' if has_amx() else ''}"
