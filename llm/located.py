"""Paths that a recipe names: where they count from, and how they were written.

A relative path means the folder of the recipe that names it. It travels as `FOLDER/./PATH`, which
every program reads as that file, and which keeps both halves: a result is named by PATH alone, so a
project may move, and its recipe may be named by a relative or an absolute path.
"""

import dataclasses
import glob
import os
from pathlib import Path
from typing import Any

_MARK = "/./"
_ELSEWHERE = ("builtin:", "http://", "https://")


def locate(text: str, folder: Path) -> str:
    """A path as it travels. `folder`: what it counts from, absolute.

    An absolute path inside the folder travels like a relative one. Addresses, built-in data and what
    begins with ~ stay as they are.
    """
    if not text or text.lower().startswith(_ELSEWHERE) or text.startswith("~") or _MARK in text:
        return text
    root = os.path.normpath(folder)
    path = os.path.normpath(text)
    if Path(path).is_absolute():
        prefix = root.rstrip("/") + "/"
        if not path.startswith(prefix):
            return text
        path = path[len(prefix) :]
    return f"{root.rstrip('/')}{_MARK}{path}"


def locate_module(text: str, folder: Path) -> str:
    """`module:function` as it travels: with the folder in which the module is looked for first."""
    return text if _MARK in text else f"{os.path.normpath(folder).rstrip('/')}{_MARK}{text}"


def written(text: str) -> str:
    """A path as its recipe has it, counted from the recipe's folder."""
    return text.partition(_MARK)[2] if _MARK in text else text


def root_of(text: str) -> Path | None:
    """The folder that a path counts from; None: the current one, or the path is absolute."""
    return Path(text.partition(_MARK)[0] or "/") if _MARK in text else None


def found(text: str) -> list[Path]:
    """What a path or a pattern (`*`, `**`, `?`) means, sorted: files and folders that are there.

    The folder that it counts from is taken as it is, whatever characters its name has.
    """
    path = Path(text).expanduser()
    if path.exists():
        return [path]
    root = root_of(text)
    names = glob.glob(written(text) if root else str(path), root_dir=root, recursive=True)
    return sorted(root / name if root else Path(name) for name in names)


def where(text: str) -> str:
    """A path for people: as written, and the folder that it counts from."""
    root = root_of(text)
    looked = root if root is not None else Path.cwd()
    absolute = Path(text).is_absolute() and root is None
    return repr(written(text)) + ("" if absolute else f" (looked in {looked})")


def without_folders(value: Any) -> Any:
    """A value of a field that holds paths, as it names a result: how they were written."""
    if isinstance(value, str):
        return written(value)
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return value


def paths_in(section: Any) -> dict[str, str]:
    """Where the files lie that a section's fields name, by field: for people, never part of a key."""
    if not dataclasses.is_dataclass(section):
        return {}
    held = {
        field.name: getattr(section, field.name)
        for field in dataclasses.fields(section)
        if field.metadata.get("path")
    }
    return {
        name: str(Path(text))
        for name, text in held.items()
        if isinstance(text, str) and _MARK in text
    }
