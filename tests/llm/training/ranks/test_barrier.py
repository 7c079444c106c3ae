"""The barrier in shared memory: nobody passes early, and a death is noticed."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from llm.training.ranks.barrier import Barrier, PeerLost, is_supported
from tests.waiting import PATIENCE

RANKS, ROUNDS = 3, 300
FORK = get_context("fork")
pytestmark = pytest.mark.skipif(
    not is_supported(), reason="needs x86 and Linux 5.3 or newer; elsewhere barriers go by socket"
)


def mapped(folder: Path, size: int) -> torch.Tensor:
    path = folder / "shared"
    if not path.exists():
        path.write_bytes(bytes(size))
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)


def take_turns(folder: Path, rank: int) -> None:
    """In each round all write, wait, read what all wrote, and wait; the slow one changes."""
    shared = mapped(folder, Barrier.size(RANKS) + 8 * RANKS)
    barrier = Barrier(shared[: Barrier.size(RANKS)], rank, RANKS)
    notes = shared[Barrier.size(RANKS) :].view(torch.int64)
    notes[rank] = -1
    while (notes != -1).any():  # all have theirs
        time.sleep(0.001)
    time.sleep(0.05)
    for turn in range(ROUNDS):
        if turn % 50 == rank:
            time.sleep(0.005)  # longer than anyone looks without rest
        notes[rank] = turn
        barrier.wait()
        assert notes.tolist() == [turn] * RANKS
        barrier.wait()
    os._exit(0)


def test_nobody_passes_before_all_have_come(tmp_path: Path) -> None:
    mapped(tmp_path, Barrier.size(RANKS) + 8 * RANKS)
    ranks = [FORK.Process(target=take_turns, args=(tmp_path, rank)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(PATIENCE)
    assert [process.exitcode for process in ranks] == [0] * RANKS


def test_a_killed_rank_is_noticed_and_one_that_came_before_it_died_is_not(tmp_path: Path) -> None:
    mapped(tmp_path, Barrier.size(2))
    ready = FORK.Event()

    def come_once() -> None:
        other = Barrier(mapped(tmp_path, Barrier.size(2)), 1, 2)
        ready.set()
        other.wait()
        signal.pause()

    process = FORK.Process(target=come_once)
    process.start()
    assert ready.wait(PATIENCE)
    barrier = Barrier(mapped(tmp_path, Barrier.size(2)), 0, 2)
    barrier.wait()
    process.kill()  # and not waited for: a zombie is no rank
    with pytest.raises(PeerLost, match="rank 0 lost another rank: 1"):
        barrier.wait()
    process.join()
