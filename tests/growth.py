"""How the work of a function grows with its input: a ratio of processor times, whatever the machine."""

import gc
import time
from collections.abc import Callable
from typing import Any


def growth(function: Callable[[Any], object], small: Any, large: Any, limit: float) -> float:
    """Processor time for `large` over that for `small`; the least of some tries, so noise only helps.

    A try that is at most `limit` ends it.
    """
    best = float("inf")
    for _ in range(5):
        best = min(best, _seconds(function, large) / max(1e-9, _seconds(function, small)))
        if best <= limit:
            break
    return best


def _seconds(function: Callable[[Any], object], value: Any) -> float:
    """Of some runs that together take long enough to be measured."""
    gc.collect()
    start, times = time.process_time(), 0
    while True:
        function(value)
        times += 1
        passed = time.process_time() - start
        if passed > 0.02:
            return passed / times
