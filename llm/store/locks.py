"""Locks between processes and threads, which the kernel frees when their holder dies."""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


class Busy(Exception):
    """Another process or thread holds the lock."""


class Lock:
    """A lock on a file: many holders at a time share it, or one has it alone.

    A thread that holds it may take it again in the same way.
    """

    _held = threading.local()

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def exclusive(self, *, wait: bool = True, why: str = "") -> Iterator[None]:
        """Hold it alone. Without `wait`, raises Busy. why: what is logged before it waits."""
        yield from self._hold(fcntl.LOCK_EX, wait, why)

    @contextmanager
    def shared(self, *, wait: bool = True, why: str = "") -> Iterator[None]:
        """Hold it with others. Without `wait`, raises Busy where somebody has it alone."""
        yield from self._hold(fcntl.LOCK_SH, wait, why)

    def is_mine(self) -> bool:
        """Whether this thread has it alone."""
        mine: dict[tuple[str, int], int] = self._held.__dict__.get("depth", {})
        return bool(mine.get((str(self.path), fcntl.LOCK_EX)))

    def _hold(self, kind: int, wait: bool, why: str) -> Iterator[None]:
        mine: dict[tuple[str, int], int] = self._held.__dict__.setdefault("depth", {})
        name = (str(self.path), kind)
        if not mine.get(name):
            handle = self._take(kind, wait, why)
        else:
            handle = None
        mine[name] = mine.get(name, 0) + 1
        try:
            yield
        finally:
            mine[name] -= 1
            if handle is not None:
                os.close(handle)

    def _take(self, kind: int, wait: bool, why: str) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise Busy(str(self.path)) from None
                if why:
                    log.info("%s", why)
                fcntl.flock(handle, kind)
        except BaseException:
            os.close(handle)
            raise
        return handle
