"""Compiling kernels by numba, into object files that need no numba.

Parameters are int64 where their annotation says nothing else; the last one's type is that of the
numbers that a kernel works on (see `numbers`).
"""

# mypy: ignore-errors
# (numba's own types are not whole)

import inspect
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types

from llm.models.kernels import (
    activations,
    attention,
    cross_entropy,
    dropout,
    norms,
    softmax,
    sums,
)

# Imported as they are, and not by name: what makes results has to be found by who looks for it.
MODULES = {
    "activations": activations,
    "attention": attention,
    "cross_entropy": cross_entropy,
    "dropout": dropout,
    "norms": norms,
    "softmax": softmax,
    "sums": sums,
}
# By annotation: numba's type, and its sign in a file of code (see `machine_code.TYPES`).
ARGUMENTS = {
    inspect.Parameter.empty: (types.int64, "q"),
    bool: (types.boolean, "?"),
    np.float32: (types.float32, "f"),
}
NUMBERS = {"float32": (types.float32, "f"), "bfloat16": (types.uint16, "H")}


def compiled(name: str, dtype: str, symbol: str, machine: Any) -> bytes:
    """The code of a kernel, such as norms.rms_norm, for a type of numbers (seconds).

    symbol: what its function is called in the object file. machine: LLVM's, that the code is for.

    Sums may be made in any order, so that they are made many at a time. The order is the same in every
    call with the same shapes, and so is the result.
    """
    module, function = name.split(".")
    source = getattr(MODULES[module], function)
    parameters = list(inspect.signature(source).parameters.values())
    arguments = [ARGUMENTS[one.annotation] for one in parameters[:-1]] + [NUMBERS[dtype]]
    signature = tuple(kind for kind, _ in arguments)
    made = njit(
        fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(source)  # fmt: skip
    made.compile(signature)
    mangled = made.overloads[signature].fndesc.mangled_name
    text = made.inspect_llvm(signature).replace(f"@{mangled}(", f"@{symbol}(")
    return "".join(sign for _, sign in arguments).encode() + b"\n" + _object_file(text, machine)


def _object_file(text: str, machine: Any) -> bytes:
    """Machine code of a module with one kernel, without what numba links into each and none calls."""
    module = llvm.parse_assembly(text)
    for function in module.functions:
        if function.name.startswith("NRT_") and not function.is_declaration:
            function.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=0)
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, options))
    return machine.emit_object(module)
