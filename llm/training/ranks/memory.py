"""How much memory processes take together, what they share counted once (Linux tells it)."""

import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
SECONDS = 0.2  # between two looks
LOOKS = 10  # between two walks over all pages


class PeakMemory:
    """Watches a process and all below it while the block lasts; `bytes` is the most seen, or None.

    What each has held at most for itself, and of files and shared memory what one of them maps most
    of (proc_pid_status(5)); less what forked processes still share with who forked them. That, as
    proportional set sizes would be all along (proc_pid_smaps(5)), is asked for now and then only: it
    has the kernel walk all pages, which slows down who is watched. None where the system does not
    tell.
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
        looks, twice, before = 0, 0, [0]
        while not self._end.wait(SECONDS):
            pids = _family(self.pid)
            if looks % LOOKS == 0 or pids != before:
                twice = _shared_by_fork(pids)
            looks, before = looks + 1, pids
            found = _together(pids) - twice
            if found > 0:
                self.bytes = max(found, self.bytes or 0)


def _together(pids: list[int]) -> int:
    """What processes hold at most (bytes), as far as it is told."""
    alone, files, shared = 0, 0, 0
    for pid in pids:
        fields = _sizes(pid, "status")
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


def _shared_by_fork(pids: list[int]) -> int:
    """How much of the processes' own memory (bytes) is counted more than once."""
    fields = [_sizes(pid, "smaps_rollup") for pid in pids]
    return sum(
        one["Anonymous"] - one["Pss_Anon"]
        for one in fields
        if {"Anonymous", "Pss_Anon"} <= set(one)
    )


def _sizes(pid: int, file: str) -> dict[str, int]:
    """The sizes in one of the files about a process (bytes); none where it has ended."""
    try:
        lines = (PROC / str(pid) / file).read_text().splitlines()
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
