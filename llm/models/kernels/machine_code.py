"""Kernels as machine code: compiled by numba at first use, kept on disk, and loaded without it.

numba and what it compiles with take more memory than all else that a process imports beside PyTorch.
What it has compiled is an object file, which LLVM's loader alone makes callable.
"""

import ctypes
import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from threading import Lock
from typing import Any

import llvmlite.binding as llvm

from llm.code_cache import code_folder
from llm.durable import replacing

# How a type of argument is written in the first line of a file of code.
TYPES: dict[str, Any] = {
    "q": ctypes.c_int64,
    "?": ctypes.c_bool,
    "f": ctypes.c_float,
    "H": ctypes.c_uint16,
}

_loading = Lock()


def load(name: str, dtype: str) -> Callable[..., None]:
    """A kernel for a type of numbers, as a function of its arguments but the last."""
    with _loading:
        return _callable(name, dtype, _kept(name, dtype))


@cache
def machine() -> Any:
    """Of this processor, with all that it can."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        llvm.get_host_cpu_name(), features, opt=3, codemodel="jitdefault", jit=True
    )


def symbol(name: str, dtype: str) -> str:
    """What a kernel is called in its object file."""
    return f"{name}.{dtype}"


def _kept(name: str, dtype: str) -> bytes:
    """A kernel's code: a line with the types of its arguments, and an object file."""
    folder = code_folder()
    path = None if folder is None else folder / f"{symbol(name, dtype)}-{_compiler()}.code"
    if path is not None and path.exists():
        return path.read_bytes()
    from llm.models.kernels.compiler import compiled

    code = compiled(name, dtype, symbol(name, dtype), machine())
    if path is not None:
        with suppress(OSError), replacing(path) as aside:
            aside.write_bytes(code)
    return code


@cache
def _compiler() -> str:
    """A digest of who makes code, and for which processor."""
    features = llvm.get_host_cpu_features().flatten()
    parts = version("numba"), version("llvmlite"), llvm.get_host_cpu_name(), features
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


@cache
def _loader() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())


def _callable(name: str, dtype: str, code: bytes) -> Callable[..., None]:
    kinds, _, made = code.partition(b"\n")
    loader = _loader()
    loader.add_object_file(llvm.ObjectFileRef.from_data(made))
    loader.finalize_object()
    # numba's functions return a status, and take two places for results and errors: these have none.
    types = [TYPES[kind] for kind in kinds.decode()]
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *types)
    function = prototype(loader.get_function_address(symbol(name, dtype)))
    unused = ctypes.addressof(_place)

    def call(*arguments: float) -> None:
        function(unused, unused, *arguments, 0)

    return call


_place = (ctypes.c_void_p * 2)()
