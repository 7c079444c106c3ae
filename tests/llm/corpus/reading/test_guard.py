"""Work under guard: what hangs, eats memory or crashes costs itself and nothing else."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from llm.corpus.reading.guard import Failed, Guards, Limits, _understood
from tests.waiting import wait_for

WORK = """
import os, signal, sys, time
from llm.corpus.reading.guard import run_guard

def work(item):
    if item == "hang":
        while True:
            pass
    if item == "sleep":
        time.sleep(60)
    if item == "memory":
        held = []
        while True:
            held.append(bytearray(10_000_000))
    if item == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "error":
        raise RecursionError(item)
    if item == "print":
        print("noise", flush=True)
        os.write(1, b"noise")
    return item, os.getpid()

run_guard(work)
"""
LIMITS = Limits(seconds=1.5, memory_bytes=150_000_000)


@pytest.fixture
def guards() -> Iterator[Guards]:
    made = Guards(WORK, LIMITS, 2)
    yield made
    made.close()


def test_answers_come_in_order(guards: Guards) -> None:
    answers = list(guards.map(range(1000), batch=7))
    assert [answer[0] for answer in answers] == list(range(1000))
    assert len({answer[1] for answer in answers}) <= 2


def test_each_failure_is_named_and_costs_one_item(guards: Guards) -> None:
    expected = {
        "hang": "timeout",
        "sleep": "timeout",  # however little processor time it takes
        "memory": "out_of_memory",
        "segfault": "crashed",
        "killed": "crashed",
        "error": "failed_RecursionError",
    }
    items = [word for bad in expected for word in (f"before {bad}", bad, f"after {bad}")]
    answers = list(guards.map(items, batch=9))
    for item, answer in zip(items, answers, strict=True):
        if item in expected:
            assert answer == Failed(expected[item])
        else:
            assert answer[0] == item


def test_what_a_library_prints_is_not_an_answer(guards: Guards) -> None:
    assert [answer[0] for answer in guards.map(["print", 1, "print"])] == ["print", 1, "print"]


def test_large_items_pass(guards: Guards) -> None:
    items = [f"{n}\ud83dü" * 1_000_000 for n in range(8)]
    assert [answer[0] for answer in guards.map(items, batch=4)] == items


def test_threads_share_the_guards(guards: Guards) -> None:
    def run(start: int) -> list[int]:
        return [answer[0] for answer in guards.map(range(start, start + 100), batch=5)]

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(run, range(0, 400, 100)))
    assert results == [list(range(start, start + 100)) for start in range(0, 400, 100)]
    assert len(guards.free) <= 2


def test_a_consumer_that_stops_leaves_the_guards_usable(guards: Guards) -> None:
    answers = guards.map(range(500), batch=3)
    assert next(answers)[0] == 0
    answers.close()  # type: ignore[attr-defined]
    assert [answer[0] for answer in guards.map(range(5))] == list(range(5))


def test_a_guard_killed_from_outside_costs_nothing(guards: Guards) -> None:
    assert next(guards.map([1]))[0] == 1
    for guard in guards.free:
        guard.kill()
    assert [answer[0] for answer in guards.map(range(5))] == list(range(5))


def test_a_program_that_does_not_start_is_an_error_and_no_drop() -> None:
    guards = Guards("raise SystemExit('broken installation')", LIMITS, 1)
    with pytest.raises(RuntimeError, match="did not start"):
        list(guards.map([1]))


def test_closing_ends_every_process(guards: Guards) -> None:
    before = descendants(os.getpid())
    list(guards.map(range(50), batch=2))
    processes = set(descendants(os.getpid())) - set(before)
    assert processes
    guards.close()
    wait_for(lambda: not any(alive(each) for each in processes))


@pytest.mark.parametrize("item", ["'idle'", "'hang'"])
def test_no_process_outlives_a_killed_user(tmp_path: Path, item: str) -> None:
    program = f"""
import threading, time
from pathlib import Path
from llm.corpus.reading.guard import Guards, Limits
guards = Guards({WORK!r}, Limits(1, 400_000_000), 2)
list(guards.map(range(64), batch=4))
threading.Thread(target=lambda: list(guards.map([{item}] * 2, batch=1)), daemon=True).start()
time.sleep(0.3)
Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""
    user = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for((tmp_path / "ready").exists)
        processes = descendants(user.pid)
        assert len(processes) >= 2
    finally:
        user.send_signal(signal.SIGKILL)
        user.wait()
    wait_for(lambda: not any(alive(each) for each in processes))


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_answers_are_data_and_nothing_else() -> None:
    kinds = {"Failed": Failed}
    assert _understood(b'["Failed", ["timeout"]]', kinds) == Failed("timeout")
    assert _understood(b'["", [1, "a", null]]', kinds) == [1, "a", None]
    odd = [pickle.dumps(Failed("x")), b'["Popen", ["true"]]', b'["Failed", [1, 2]]', b"7", b"[[]"]
    for data in odd:
        with pytest.raises(ValueError):
            _understood(data, kinds)
