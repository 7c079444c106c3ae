"""Compile the kernels of training on a CPU ahead of time: `python -m llm.models.compile`, in the set-up.

Otherwise the first runs do it, a few seconds each and with numba in every process.
"""

from llm.models.kernels import operations, softmax_operations
from llm.models.kernels.availability import TYPES
from llm.models.kernels.calls import Kernel


def main() -> None:
    """Load every kernel for every type."""
    found = [*vars(operations).values(), *vars(softmax_operations).values()]
    kernels = [one for one in found if isinstance(one, Kernel)]
    for kernel in (*kernels, *operations.ACTIVATIONS.values()):
        for dtype in TYPES:
            kernel.load(dtype)


if __name__ == "__main__":
    main()
