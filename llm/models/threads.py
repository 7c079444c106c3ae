"""How many threads work at once: small operations are quicker on one.

Threads that share an operation wait for each other at its end. Where it takes microseconds the
waiting costs more than sharing saves, and thousands of times more where other programs use the same
processors.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(when: bool = True) -> Iterator[None]:
    """PyTorch's operations, in this thread, use one thread while this lasts (not where `when` is False)."""
    before = torch.get_num_threads()
    if not when or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
