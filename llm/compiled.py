"""Functions that numba compiles at first use (seconds) and keeps on disk.

They are kept where `code_cache` says: numba by itself looks at the file of a function only, and not at
others that its constants and helpers come from. Call such functions with arguments of the same types
always: another type would be compiled again.
"""

# mypy: ignore-errors
# (numba's own types are not whole)

from collections.abc import Callable
from typing import Any

from numba import config, njit

from llm.code_cache import code_folder


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile without the GIL, kept on disk where there is a place for it; options: of njit."""
    folder = code_folder()
    if folder is None:
        return njit(nogil=True, **options)(function)
    chosen, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return njit(nogil=True, cache=True, **options)(function)
    finally:
        config.CACHE_DIR = chosen


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only compiled ones call: it is kept as a part of those."""
    made = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return made
