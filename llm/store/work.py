"""Work folders: unfinished state of one key, held under a lock that kill -9 frees."""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm import durable

log = logging.getLogger(__name__)

WANTED_BY = "wanted-by.json"


@contextmanager
def work_folder(folder: Path, wanted_by: Mapping[str, Any] | None) -> Iterator[Path]:
    """Hold a work folder, made where there is none; waits while another process holds it."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, FileExistsError):
            continue  # the one before finished and removed the folder just now
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another run is making %s/%s: waiting for it", folder.parent.name, folder.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_still(folder, handle):
            break
        os.close(handle)
    try:
        if wanted_by is not None:
            durable.write_json(folder / WANTED_BY, dict(wanted_by))
        yield folder
    finally:
        os.close(handle)


def _is_still(folder: Path, handle: int) -> bool:
    """Whether the lock is of the folder that is there: the one before may have removed it."""
    try:
        return os.fstat(handle).st_ino == (folder / "lock").stat().st_ino
    except FileNotFoundError:
        return False


def wanted_by(folder: Path) -> dict[str, Any] | None:
    """Who was making what is in a work folder; None where nobody said so."""
    try:
        found = json.loads((folder / WANTED_BY).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def discard(folder: Path) -> bool:
    """Delete a work folder unless somebody holds it; whether it is gone."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        folder.unlink()
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder)
        return True
    finally:
        os.close(handle)
