"""How much memory processes take together, what they share counted once (Linux tells it)."""

import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
SECONDS = 0.2  # between two looks


class PeakMemory:
    """Watches a process and all below it while the block lasts; `bytes` is the most seen, or None.

    What each has held at most for itself, and of files and shared memory what one of them maps most
    of (proc_pid_status(5)). Proportional set sizes (proc_pid_smaps(5)) would be exact, but to ask for
    them has the kernel walk all pages, which slows down who is watched. None where the system does
    not tell.
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
            found = _together(_family(self.pid))
            if found:
                self.bytes = max(found, self.bytes or 0)


def _together(pids: list[int]) -> int:
    """What processes hold at most (bytes), as far as it is told."""
    alone, files, shared = 0, 0, 0
    for pid in pids:
        fields = _status(pid)
        mapped, memory = fields.get("RssFile", 0), fields.get("RssShmem", 0)
        alone += max(0, fields.get("VmHWM", 0) - mapped - memory)
        files, shared = max(files, mapped), max(shared, memory)
    return alone + files + shared


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


def _status(pid: int) -> dict[str, int]:
    """The sizes in a process's status (bytes); none where it has ended."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines if line.endswith(" kB"))
    return {name: 1024 * int(size.removesuffix(" kB")) for name, size in pairs}


def available_bytes() -> int | None:
    """What processes can still get without swapping (proc_meminfo(5)); None: not told."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return 1024 * found[0] if found else None
