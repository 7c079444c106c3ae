"""How much memory processes take together, what they share counted once (Linux)."""

import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
SECONDS = 0.2  # between two looks


class PeakMemory:
    """Watches a process and all below it while the block lasts; `bytes` is the most seen, or None.

    The proportional set size (proc_pid_smaps(5)): a page that n processes map counts 1/n in each.
    None where the system does not tell it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.bytes: int | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(SECONDS):
            found = sum(_resident(process) for process in _family(self.pid))
            if found:
                self.bytes = max(found, self.bytes or 0)


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            lists = [path.read_text() for path in (PROC / str(one) / "task").glob("*/children")]
        except OSError:  # it has ended meanwhile
            continue
        waiting += [int(child) for children in lists for child in children.split()]
    return found


def _resident(pid: int) -> int:
    """The proportional set size of one process (bytes); 0 where there is none to be told."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def available_bytes() -> int | None:
    """What processes can still get without swapping (proc_meminfo(5)); None: not told."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return 1024 * found[0] if found else None
