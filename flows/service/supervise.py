"""Keeping child processes alive: what dies is started again, later each time that it dies at once."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0
WELL_SECONDS = 300.0
"""A process that lived this long had started well: its next death counts as a first one."""

_LIBC = ctypes.CDLL(None)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG

Process = subprocess.Popen[bytes]


def die_with_parent() -> None:
    """Ask the kernel to end this process when the thread that started it ends (Linux only)."""
    with suppress(OSError, AttributeError):
        _LIBC.prctl(_DEATH_SIGNAL, signal.SIGTERM)


def stop_group(process: Process, seconds: float) -> None:
    """SIGTERM to a child's process group, SIGKILL to what is left after `seconds`."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Kept:
    """A child process that is started again when it dies.

    start: starts it. tell: is given a line for people about each death.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Process],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.process = name, start()
        self._start, self._tell, self._clock = start, tell, clock
        self._wait, self._started, self._due = FIRST_SECONDS, clock(), 0.0

    def look(self) -> None:
        """Start the process again if it has died and has waited its time."""
        code = self.process.poll()
        if code is None:
            return
        now = self._clock()
        if not self._due:
            if now - self._started >= WELL_SECONDS:
                self._wait = FIRST_SECONDS
            self._due = now + self._wait
            self._tell(f"the {self.name} {_ended(code)}: it starts again in {self._wait:g} s")
            self._wait = min(2 * self._wait, MOST_SECONDS)
        elif now >= self._due:
            self.process, self._started, self._due = self._start(), now, 0.0

    def stop(self, seconds: float) -> None:
        """End it and what it started."""
        stop_group(self.process, seconds)


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
