"""Writing to disk while training goes on: one thing at a time, and errors are not lost."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Writer:
    """Runs what it is given in a thread of its own; `wait` before what is written is needed."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Begin to write, once what was begun before is done. Raises what that raised."""
        self.wait()
        self._running = self._thread.submit(write)

    def check(self) -> None:
        """Raise what a write raised that has ended meanwhile; waits for nothing."""
        if self._running is not None and self._running.done():
            self.wait()

    def wait(self) -> None:
        """Until nothing is being written. Raises what the write raised, once."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Let a write that is under way end, and start no other."""
        self._thread.shutdown(wait=True)
