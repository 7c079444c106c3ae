"""A checkpoint is whole or it is not used."""

import errno
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from llm.training import checkpoints
from llm.training.work import CHECKPOINT_NOTE

SIZE = 50_000


def write(root: Path, step: int) -> dict[str, torch.Tensor]:
    """A checkpoint whose numbers are its step."""
    tensors = {"parameters": torch.full((SIZE,), float(step))}
    note = {"step": step, "identity": "run"}
    checkpoints.save(checkpoints.step_folder(root, step), tensors, note)
    return tensors


def newest(root: Path, identity: str, warn: Callable[[str], None]) -> checkpoints.Checkpoint | None:
    """The newest checkpoint of a run."""
    return next(checkpoints.fitting(root, lambda note: note["identity"] == identity, warn), None)


def newest_step(root: Path) -> tuple[int | None, list[str]]:
    """The step that a resume would find, and what it warns of."""
    warnings: list[str] = []
    found = newest(root, "run", warnings.append)
    return (found.step if found else None), warnings


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    for step in (10, 20):
        write(tmp_path, step)
    target = torch.zeros(SIZE)
    found = newest(tmp_path, "run", pytest.fail)
    assert found and found.step == 20
    found.restore({"parameters": target})
    assert torch.equal(target, torch.full((SIZE,), 20.0))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (checkpoints.STATE, cut),
        (checkpoints.STATE, flip),
        (checkpoints.STATE, Path.unlink),
        (CHECKPOINT_NOTE, cut),
        (CHECKPOINT_NOTE, Path.unlink),
    ],
    ids=["state cut", "state flipped", "state gone", "note cut", "note gone"],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    for step in (10, 20):
        write(tmp_path, step)
    damage(checkpoints.step_folder(tmp_path, 20) / name)
    step, warnings = newest_step(tmp_path)
    assert step == 10
    assert "step-000000020" in warnings[0]


def test_a_checkpoint_of_another_run_is_not_used(tmp_path: Path) -> None:
    write(tmp_path, 10)
    warnings: list[str] = []
    assert newest(tmp_path, "another", warnings.append) is None
    assert "other settings or data" in warnings[0]


def test_what_is_not_kept_goes_and_so_do_leftovers(tmp_path: Path) -> None:
    (tmp_path / ".step-000000005.tmp").mkdir(parents=True)
    for step in (10, 20, 30):
        write(tmp_path, step)
    assert checkpoints.steps(tmp_path) == [10, 20, 30]
    checkpoints.prune(tmp_path, {20, 30})
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000020",
        "step-000000030",
    ]


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    """The kernel refuses to write beyond RLIMIT_FSIZE, as a full disk refuses any write."""
    write(tmp_path, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, hard))
    try:
        with pytest.raises(OSError, match=r"no space for checkpoint step-000000020.*free at least"):
            write(tmp_path, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert newest_step(tmp_path) == (10, [])
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]


def test_no_space_at_the_sync_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 10)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "commit_folder", refuse)
    with pytest.raises(OSError, match="no space for checkpoint") as caught:
        write(tmp_path, 20)
    assert caught.value.errno == errno.ENOSPC
    assert newest_step(tmp_path) == (10, [])
