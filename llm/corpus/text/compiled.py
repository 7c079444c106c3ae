"""Compiled passes over UTF-8 bytes: no Python string is made, and the GIL is free meanwhile.

Compiled by numba at first use (seconds) and kept on disk: beside this file or, where that cannot be
written, in the user's cache folder. Call such functions with arrays of the same types always:
another type would be compiled anew.
"""

# mypy: ignore-errors
# (types are numba's here)

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit

from llm.corpus.text.characters import FOLLOWING, KATAKANA, LEADING, MARK, POINTS, UNSPACED

# What the hash of a word begins with.
SEED = np.uint64(0x9E3779B97F4A7C15)
# What it is multiplied by for each character.
STEP = np.uint64(0x9FB21C651E98DF25)


@lru_cache(maxsize=1)
def cache_folders() -> tuple[Path, ...]:
    """Where compiled code may be kept, best first: a folder for each state of the sources.

    numba looks at the file of the function only; constants and helpers come from others.
    """
    here = Path(__file__).parent
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(here.parent.rglob("*.py")):
        text = path.read_bytes()
        if path.stem in ("compiled", "characters") or b"@compiled" in text or b"@inner" in text:
            state.update(path.name.encode() + text)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"compiled-{state.hexdigest()}"
    return here / "__pycache__" / name, home / "penstock" / name


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL, kept on disk where there is a place for it."""
    chosen = config.CACHE_DIR
    try:
        for folder in cache_folders():
            config.CACHE_DIR = str(folder)
            if writable(folder):
                return njit(nogil=True, cache=True)(function)
    finally:
        config.CACHE_DIR = chosen
    return njit(nogil=True)(function)


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


@inner
def point_at(data, at):
    """The code point that begins at data[at] and its bytes; the text must be valid UTF-8."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[at + 1] & 0x3F), 2
    point = (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)
    if first < 0xF0:
        return point, 3
    point = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    point |= np.int64(data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F)
    return min(point, POINTS - 1), 4


@inner
def spread(value):
    """Spread a 64-bit value evenly (the finaliser of SplitMix64, Steele et al. 2014)."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inner
def folded_in(value, point):
    """The hash of a word and one more character."""
    value = (value ^ np.uint64(point)) * STEP
    return value ^ (value >> np.uint64(32))


@inner
def breaks(before, kind):
    """Whether a word ends between two word characters, because of a script without spaces."""
    here = kind & UNSPACED
    there = before & UNSPACED
    if not here and not there:
        return False
    if kind & MARK:
        return False
    if here != there:
        return True
    return not (here & KATAKANA or kind & FOLLOWING or before & LEADING)
