"""Functions that numba compiles at first use (seconds) and keeps on disk.

They are kept beside this package or, where that cannot be written, in the user's cache folder. Call
such functions with arguments of the same types always: another type would be compiled anew.
"""

# mypy: ignore-errors
# (numba's own types are not whole)

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import config, njit


@lru_cache(maxsize=1)
def cache_folders() -> tuple[Path, ...]:
    """Where compiled code may be kept, best first: a folder for each state of the sources.

    numba looks at the file of the function only; constants and helpers come from others.
    """
    here = Path(__file__).parent
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(here.rglob("*.py")):
        text = path.read_bytes()
        if path.stem in ("compiled", "characters") or any(sign in text for sign in SIGNS):
            state.update(path.name.encode() + text)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 (Path's fails without a home)
    name = f"compiled-{state.hexdigest()}"
    return here / "__pycache__" / name, home / "penstock" / name


SIGNS = (b"@compiled", b"@inner", b"@intrinsic", b"@sweep")  # of a file that has such functions


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile without the GIL, kept on disk where there is a place for it; options: of njit."""
    chosen = config.CACHE_DIR
    try:
        for folder in cache_folders():
            config.CACHE_DIR = str(folder)
            if writable(folder):
                return njit(nogil=True, cache=True, **options)(function)
    finally:
        config.CACHE_DIR = chosen
    return njit(nogil=True, **options)(function)


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only compiled ones call: it is kept as a part of those."""
    made = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return made


@lru_cache
def writable(folder: Path) -> bool:
    """Make a folder; whether one can write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
