"""A barrier in shared memory, for the ranks of one machine.

Over a socket a barrier takes some 0.2 to 0.7 ms, three times a step: a tenth of a step of a small
model. Here each rank counts its arrivals in memory that all see, and looks at the others' counts.
Memory has to keep the order of writes, as x86 does, for a count to vouch for what was written before.
"""

import os
import platform
import select
import time

from torch import Tensor

LINE = 8  # int64: a cache line, so that ranks do not write into each other's
EAGER = 0.001  # seconds that a rank looks without rest; steps of small models are as long
REST = 0.0001  # seconds between looks, thereafter


class PeerLost(RuntimeError):
    """Another rank has died; the reason is its own to tell."""


def is_supported() -> bool:
    """Whether this machine keeps the order of writes, and tells at once when a process has ended."""
    return platform.machine() in ("x86_64", "AMD64") and hasattr(os, "pidfd_open")


class Barrier:
    """Where ranks wait for each other; `shared` are zeros that all of them see, see `size`.

    All ranks make theirs, and meet in some other way before the first one waits.
    """

    def __init__(self, shared: Tensor, rank: int, ranks: int) -> None:
        table = shared.numpy().view("int64").reshape(ranks, LINE)
        self._arrivals, self._processes = table[:, 0], table[:, 1]
        self._processes[rank] = os.getpid()
        self._rank = rank
        self._others = [other for other in range(ranks) if other != rank]
        self._watched: dict[int, int] = {}
        self._met = 0

    @staticmethod
    def size(ranks: int) -> int:
        """Bytes of shared memory that it needs."""
        return ranks * LINE * 8

    def wait(self) -> None:
        """Wait until all ranks have come. Raises PeerLost when one has ended before."""
        self._met += 1
        self._arrivals[self._rank] = self._met
        for other in self._others:
            self._wait_for(other)

    def _wait_for(self, other: int) -> None:
        began = time.monotonic()
        while self._arrivals[other] < self._met:
            if time.monotonic() - began < EAGER:
                os.sched_yield()
                continue
            time.sleep(REST)
            if self._has_ended(other) and self._arrivals[other] < self._met:
                raise PeerLost(f"rank {self._rank} lost another rank: {other} has ended")

    def _has_ended(self, other: int) -> bool:
        if other not in self._watched:
            try:
                self._watched[other] = os.pidfd_open(int(self._processes[other]))
            except ProcessLookupError:
                return True
        ready, _, _ = select.select([self._watched[other]], [], [], 0)
        return bool(ready)
