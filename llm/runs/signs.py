"""Which runs are alive: the kernel frees the lock of a process that died, however it died."""

import fcntl
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from llm.step import BadInput
from llm.store.locks import Busy, Lock


class Signs:
    """A locked file for each run that is alive, and a lock that all of them share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "alive"
        self._in_use = Lock(folder / "in-use.lock")

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Hold the sign that the run `name` is alive; kill -9 takes it away.

        Waits while somebody has the store alone (`alone`).
        """
        with self.in_use(), self.present(name):
            yield

    @contextmanager
    def present(self, name: str) -> Iterator[None]:
        """Hold the sign `name` of something that reads no artifacts: anybody may delete meanwhile."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under its name only once it is locked, or it would be taken for a dead run's.
        coming = path.with_name(f".{uuid.uuid4().hex}")
        handle = os.open(coming, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, str(os.getpid()).encode())
        coming.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    def in_use(self) -> AbstractContextManager[None]:
        """Within it nobody has the store alone. Waits while somebody has."""
        return self._in_use.shared(why="penstock gc, or a purge, is deleting: waiting for its end")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no run is going on and none starts. Raises BadInput while one goes on."""
        try:
            with self._in_use.exclusive(wait=False):
                yield
        except Busy:
            raise BadInput(
                "a run is in progress and may be reading what would be removed: wait for it, or stop it"
            ) from None

    def is_alive(self, name: str) -> bool:
        """Whether a process holds the sign of the run `name`."""
        try:
            handle = os.open(self.folder / name, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def signal(self, name: str, number: int) -> bool:
        """Send a signal to the process that holds the sign of the run `name`; whether there is one.

        Never to another process that got the same id since.
        """
        try:
            process = os.pidfd_open(int((self.folder / name).read_text()))
        except (OSError, ValueError):
            return False
        try:
            # Looked at after the process was opened: it was the holder's then.
            if not self.is_alive(name):
                return False
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(process)
        return True

    def left(self) -> list[str]:
        """Names of runs whose process died without saying so."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return [one for one in sorted(names) if one[0] != "." and not self.is_alive(one)]

    def forget(self, name: str) -> None:
        """Drop the sign of a run that died, once it has been told everywhere."""
        (self.folder / name).unlink(missing_ok=True)
