"""Kernels' machine code: kept, loaded without numba, and made anew where there is none."""

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
import torch

from llm.fingerprint import fingerprint
from llm.models.kernels import compiler, machine_code, operations
from llm.models.kernels.calls import Kernel
from llm.parts import chosen, modules, registry

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None  # importing it raises ImportError
import torch
from llm.models.kernels import operations
y, slope = operations.activate(torch.tensor([-1.0, 2.0]), "relu2")
print(y.tolist(), slope.tolist())
"""


def test_kernels_that_were_compiled_need_no_numba():
    operations.activate(torch.zeros(2), "relu2")  # compiled now, if it was not before
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "[0.0, 4.0] [0.0, 4.0]", done.stderr


@pytest.mark.parametrize("writable", [True, False])
def test_code_is_compiled_where_none_is_kept(tmp_path, monkeypatch, writable):
    folder = tmp_path if writable else None
    monkeypatch.setattr(machine_code, "code_folder", lambda: folder)
    compiled = []
    monkeypatch.setattr(
        compiler,
        "compiled",
        lambda *asked, real=compiler.compiled: compiled.append(asked) or real(*asked),
    )
    found = [machine_code._kept("sums.add", "float32").split(b"\n")[0] for _ in range(2)]
    assert found == [b"qqqf"] * 2  # three whole numbers, and one of the type
    assert len(compiled) == (1 if writable else 2)
    assert len(list(tmp_path.iterdir())) == writable


def test_every_kernel_ends_with_the_type_of_its_numbers():
    kernels = [one for one in vars(operations).values() if isinstance(one, Kernel)]
    kernels += operations.ACTIVATIONS.values()
    assert len(kernels) > 10
    for kernel in kernels:
        module, name = kernel.name.split(".")
        function = getattr(import_module(f"llm.models.kernels.{module}"), name)
        assert list(inspect.signature(function).parameters)[-1] == "like"


def test_kernels_are_called_from_many_threads():
    kernel = Kernel("activations.times")
    slope, gradient = torch.randn(64, 1000), torch.randn(64, 1000)

    def multiply(row: int) -> torch.Tensor:
        product = torch.empty(1000)
        pointers = slope[row].data_ptr(), gradient[row].data_ptr(), product.data_ptr()
        kernel(torch.float32, *pointers, 1000)
        return product

    with ThreadPoolExecutor(8) as threads:
        found = torch.stack(list(threads.map(multiply, range(64))))
    assert torch.equal(found, slope * gradient)


@pytest.mark.parametrize("architecture", registry("architecture"))
def test_kernels_are_part_of_what_a_trained_model_depends_on(architecture):
    parts = modules(chosen("architecture", [architecture]))
    reached = fingerprint("llm.training.pretrain.step", *parts).modules
    for kernel in (*compiler.MODULES, "numbers", "compiler"):
        assert f"llm.models.kernels.{kernel}" in reached
