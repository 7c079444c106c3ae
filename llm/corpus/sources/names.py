"""How files are named below the folder that they share."""

from collections.abc import Sequence
from pathlib import Path


def short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names below the folder that they share, so that no two are the same."""
    folders = [path.resolve().parent.parts for path in paths]
    shared = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return [Path(*path.resolve().parts[shared:]).as_posix() for path in paths]
