"""Waiting for what must happen, without a claim about how fast the machine is."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 1800.0
"""Seconds after which a test that hangs is given up: far beyond what a busy machine takes."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], rest: float = 0.01) -> T:
    """Look again and again, `rest` seconds apart, until the condition gives something true."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(rest)
    return found
