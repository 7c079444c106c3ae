"""A trial of the first steps, with real processes."""

import dataclasses
import mmap
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from llm.machine import Machine
from llm.models.config import ModelSettings
from llm.training.ranks.launch import TrainingError
from llm.training.ranks.memory import PeakMemory, available_bytes
from llm.training.scaling import trial
from llm.training.scaling.trial import Trial, measure, trial_settings
from tests.llm.training.runs import tiny_settings

MACHINE = Machine(device="cpu", processes=2)


def test_a_trial_tells_times_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "STEPS_SECONDS", 0.5)
    found = measure(tiny_settings(), 300, MACHINE, tmp_path / "trial")
    assert found.processes == 2 and found.steps > trial.FEWEST_STEPS
    assert 0 < found.step_seconds < found.start_seconds
    assert found.checkpoint_seconds > 0 and found.end_seconds > 0
    assert found.device_bytes is None
    # Three processes with torch, which share what was read from files.
    alone = "import psutil, torch; print(psutil.Process().memory_info().rss)"
    one = int(subprocess.check_output([sys.executable, "-c", alone]))
    assert found.memory_bytes is not None and one < found.memory_bytes < 5 * one


def test_a_trial_without_a_step_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.2)
    with pytest.raises(TrainingError, match="not one step"):
        measure(tiny_settings(), 300, MACHINE, tmp_path / "trial")


def test_one_micro_batch_of_each_part_stands_for_a_step_of_many() -> None:
    machine = Machine(device="cpu", micro_batch=2)
    values = tiny_settings(batch_tokens=16 * 30, data_parallel=4, tokens=16 * 30 * 100)
    tried = trial_settings(values, machine)
    assert (tried.rows, tried.data_parallel) == (8, 4)
    longer = dataclasses.replace(values, tokens=10 * values.tokens, checkpoint_every=7, seed=3)
    assert trial_settings(longer, machine) == tried
    deeper = dataclasses.replace(values, model=ModelSettings(layers=3, context_length=16))
    assert trial_settings(deeper, machine) != tried


def test_time_adds_up() -> None:
    found = Trial(
        start_seconds=10,
        step_seconds=2,
        part_rows=2,
        checkpoint_seconds=1,
        end_seconds=5,
        memory_bytes=None,
        device_bytes=None,
        steps=5,
        processes=2,
    )
    # 12 steps of 8 rows in 4 parts; checkpoints after 3, 6 (twice, the decay begins), 9, 12, and
    # the model, a third of one.
    values = tiny_settings()
    assert found.seconds(values) == pytest.approx(10 + 12 * 2 + 5 + 1 / 3 + 5)
    assert found.seconds(values, done=6) == pytest.approx(10 + 6 * 2 + 3 + 1 / 3 + 5)
    wider = dataclasses.replace(values, batch_tokens=256, tokens=12 * 256)
    assert found.seconds(wider) == pytest.approx(10 + 12 * 4 + 5 + 1 / 3 + 5)
    # 384 tokens are measured 3 times, with a third of the work of 3 steps of 128.
    measured = dataclasses.replace(values, validate_every=5, validation_tokens=384)
    assert found.seconds(measured) == pytest.approx(10 + (12 + 3) * 2 + 5 + 1 / 3 + 5)


SHARING = """
import mmap, sys
with open(sys.argv[1], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 0)
seen = sum(shared[at] for at in range(0, len(shared), mmap.PAGESIZE))
print(seen, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="memory is shared in /dev/shm")
def test_memory_that_processes_share_counts_once() -> None:
    def peak(size: int) -> int:
        """Of this process and two that have looked at `size` bytes of shared memory."""
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file, ExitStack() as running:
            file.write(bytes([1]) * size)
            file.flush()
            command = [sys.executable, "-c", SHARING, file.name]
            pipe = subprocess.PIPE
            for _ in range(2):
                child = running.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe))
                assert child.stdout and int(child.stdout.readline()) == size // mmap.PAGESIZE
            with PeakMemory(os.getpid()) as memory:
                time.sleep(0.5)
            assert memory.bytes is not None
            return memory.bytes

    size = 64 << 20
    assert size / 2 < peak(size) - peak(mmap.PAGESIZE) < 1.5 * size


def test_available_memory_is_what_psutil_tells() -> None:
    available = available_bytes()
    assert available is not None
    assert available == pytest.approx(psutil.virtual_memory().available, rel=0.2)


FORKED = """
import os, sys
data = bytearray(int(sys.argv[1]))
data[::4096] = bytes([1]) * len(data[::4096])
children = []
for _ in range(2):
    if (child := os.fork()) == 0:
        sys.stdin.read()
        os._exit(0)
    children.append(child)
print("forked", flush=True)
sys.stdin.read()
"""


def test_memory_of_before_a_fork_counts_once() -> None:
    def peak(size: int) -> int:
        """Of a process with `size` bytes of its own, and two that it has forked."""
        command = [sys.executable, "-c", FORKED, str(size)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as forker:
            assert forker.stdout and forker.stdout.readline() == b"forked\n"
            with PeakMemory(forker.pid) as memory:
                time.sleep(0.5)
            assert memory.bytes is not None
            return memory.bytes

    size = 64 << 20
    assert size / 2 < peak(size) - peak(mmap.PAGESIZE) < 1.5 * size
