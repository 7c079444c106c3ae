"""A disk that is too small for a training run, or becomes full during one, is named."""

import concurrent.futures
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm.machine import Machine
from llm.step import BadInput, Context, Inputs
from llm.training import checkpoints
from llm.training.loop import train
from llm.training.objectives.next_token import NextToken
from llm.training.pretrain.step import pretrain
from llm.training.ranks import launch, rank, room
from llm.training.ranks.guard import NO_SPACE
from llm.training.ranks.rank import Group
from llm.training.work import CHECKPOINTS, FAILURE, METRICS
from llm.training.writer import Writer
from tests.llm.training.runs import Zygote, prepared, tiny_settings
from tests.llm.training.test_loop import Bigram, Noise, plan


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB: that of a checkpoint of the tiny model is 0.8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only a privileged user can mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path, leave: int) -> None:
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - leave))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_disk_that_becomes_full_is_named_and_the_last_checkpoint_stays(
    processes: int, zygote: Zygote, inputs: Inputs, small_disk: Path
) -> None:
    work = small_disk / "work"
    job = prepared(tiny_settings(checkpoint_every=3, keep_last=9), inputs, work)
    statuses = zygote.run(processes, job)
    assert statuses[0] == NO_SPACE
    error = launch.failure(work, NO_SPACE)
    assert isinstance(error, BadInput)
    assert f"the disk is full: training in {work}" in str(error)
    assert "goes on from its last checkpoint" in str(error)
    assert list((work / CHECKPOINTS).glob("step-*"))
    assert not list((work / CHECKPOINTS).glob(".*")), "what was half written takes no room"


def test_a_disk_without_any_room_is_named_too(
    zygote: Zygote, inputs: Inputs, small_disk: Path
) -> None:
    job = prepared(tiny_settings(), inputs, small_disk / "work")
    fill(small_disk, leave=0)
    assert zygote.run(1, job) == [NO_SPACE]
    assert not (job.parent / FAILURE).exists()
    error = launch.failure(job.parent, NO_SPACE)
    assert "0 bytes is free" in str(error) and "checkpoint" not in str(error)


def test_a_checkpoint_that_fails_ends_training_at_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    start = Writer.start

    def and_wait(self: Writer, write: Callable[[], None]) -> None:
        start(self, write)
        assert self._running is not None
        concurrent.futures.wait([self._running])

    monkeypatch.setattr(checkpoints, "save", refuse)
    monkeypatch.setattr(Writer, "start", and_wait)
    with pytest.raises(OSError, match="quota") as caught:
        train(Bigram(), Noise(), NextToken(), plan(steps=50, checkpoint_every=4), Group(), tmp_path)
    assert rank.is_full(caught.value)
    steps = [json.loads(line)["step"] for line in (tmp_path / METRICS).read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5]


def test_a_run_that_cannot_fit_is_refused_before_it_starts(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("training was started")

    monkeypatch.setattr(launch, "run", unwanted)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    (tmp_path / "out").mkdir()
    (tmp_path / "work").mkdir()
    context = Context(tmp_path / "out", tmp_path / "work", machine=Machine(device="cpu"))
    with pytest.raises(BadInput, match="not enough disk space for training") as caught:
        pretrain(tiny_settings(), inputs, context)
    assert "1 MB is free" in str(caught.value) and "PENSTOCK_HOME" in str(caught.value)


def test_what_a_try_before_left_counts_as_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=600))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state").write_bytes(bytes(400))
    room.check_room(tmp_path, 1000)
    with pytest.raises(BadInput, match="Free 1 byte more"):
        room.check_room(tmp_path, 1001)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_log_that_cannot_be_written_does_not_hide_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rank, "join", lambda *_: Group())
    monkeypatch.setattr(rank, "write_json", fails)
    (tmp_path / "job.json").write_text('{"device": "cpu"}')
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert rank.run(fails, [str(tmp_path / "job.json")]) == NO_SPACE
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


def test_a_full_disk_is_known_by_its_cause() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("saving failed") from error
    except RuntimeError as error:
        assert rank.is_full(error)
    assert not rank.is_full(OSError(errno.EACCES, "Permission denied"))
