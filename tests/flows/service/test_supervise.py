"""Processes that die are started again, later and later while they die at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from flows.service.supervise import FIRST_SECONDS, MOST_SECONDS, WELL_SECONDS, Kept

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(SLEEP, start_new_session=True)


def test_a_killed_process_is_started_again_after_its_wait() -> None:
    clock, said = Clock(), []
    kept = Kept("worker", started, said.append, clock)
    first = kept.process
    try:
        kept.look()
        assert kept.process is first and not said
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        kept.look()
        assert kept.process is first, "not at once"
        assert said == ["the worker was ended by SIGKILL: it starts again in 1 s"]
        clock.now += FIRST_SECONDS
        kept.look()
        assert kept.process is not first and kept.process.poll() is None
        assert len(said) == 1
    finally:
        kept.stop(10)
    assert kept.process.poll() is not None


def waits(kept: Kept, clock: Clock, deaths: int, lives: float) -> list[float]:
    """How long the process was left dead, for each of its deaths."""
    found = []
    for _ in range(deaths):
        clock.now += lives
        kept.process.kill()
        kept.process.wait()
        dead, begun = kept.process, clock.now
        kept.look()
        while kept.process is dead:
            clock.now += 0.5
            kept.look()
        found.append(clock.now - begun)
    return found


def test_waits_double_up_to_a_limit_and_are_short_again_after_a_long_life() -> None:
    clock = Clock()
    kept = Kept("server", started, lambda line: None, clock)
    try:
        assert waits(kept, clock, 8, lives=1.0) == [1, 2, 4, 8, 16, 32, MOST_SECONDS, MOST_SECONDS]
        assert waits(kept, clock, 1, lives=WELL_SECONDS) == [FIRST_SECONDS]
    finally:
        kept.stop(10)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from flows.service.supervise import die_with_parent\n"
        f"child = subprocess.Popen({SLEEP!r}, preexec_fn=die_with_parent)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    ending = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    assert is_gone(ending)


def is_gone(pidfd: int) -> bool:
    """Wait (up to two minutes) until a process has ended."""
    import select

    return bool(select.select([pidfd], [], [], 120)[0])
