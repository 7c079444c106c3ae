"""Writes that survive a crash: aside, fsynced, renamed. Every durable write goes through here."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PEOPLE_READ = 1_000_000  # characters


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (fsync of the directory)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """fsync every file and folder below `folder`, and `folder` itself."""
    for base, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(base, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(base))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it replaces `path` in one step.

    On an error the half-written file is removed and the error goes on; `path` stays as it was.
    """
    # Two threads may be replacing the same file.
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield aside
        handle = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file's contents, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_bytes(data)


def write_json(path: Path, value: Any, *, sort_keys: bool = True) -> None:
    """Replace the file with `value` as JSON, all or nothing; a short one in lines, for people."""
    write_bytes(path, json_bytes(value, sort_keys=sort_keys))


def json_bytes(value: Any, *, sort_keys: bool = True) -> bytes:
    """A value as `write_json` writes it."""
    text = json.dumps(value, sort_keys=sort_keys, ensure_ascii=False)
    if len(text) < PEOPLE_READ:  # lines take Python's own encoder, ten times slower
        text = json.dumps(value, indent=1, sort_keys=sort_keys, ensure_ascii=False)
    return text.encode()


def commit_folder(source: Path, target: Path) -> None:
    """Move a finished folder to its final name: contents are synced first, the rename is atomic.

    Raises OSError (such as no space left) with `target` untouched.
    """
    sync_tree(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    sync_folder(target.parent)


def empty_folder(folder: Path) -> Path:
    """Remove what is in `folder` and make it again."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def file_digest(path: Path) -> str:
    """Hex digest (BLAKE2b, 32 bytes) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def bytes_digest(data: bytes) -> str:
    """`file_digest` of a file with these bytes."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def stamp(stat: os.stat_result) -> str:
    """What changes with a file that is only ever replaced as a whole."""
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}"
