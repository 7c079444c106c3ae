"""Whether the disk has room for a training run: asked before it starts, told when it runs out."""

import shutil
from pathlib import Path

from llm.step import BadInput
from llm.training.work import BUFFERS, CHECKPOINTS
from llm.words import size

WAY_OUT = (
    "`penstock gc` tells what can go; PENSTOCK_HOME puts everything on another disk, PENSTOCK_STORE "
    "the artifacts"
)


def check_room(work: Path, most_bytes: int) -> None:
    """Raise BadInput where the disk of a work folder cannot hold `most_bytes` in it.

    What lies in the folder already, of a try before this one, counts as room.
    """
    free = free_bytes(work)
    missing = most_bytes - used_bytes(work) - free
    if missing > 0:
        raise BadInput(
            f"not enough disk space for training: it takes up to {size(most_bytes)} in {work}, and "
            f"{size(free)} is free. Free {size(missing)} more, or keep fewer checkpoints "
            f"(keep_last, keep_every). {WAY_OUT}"
        )


def disk_full(work: Path, reason: str) -> BadInput:
    """The error of training that could not write."""
    whole = any((work / CHECKPOINTS).glob("step-*"))
    goes_on = ": training goes on from its last checkpoint, which is whole" if whole else ""
    return BadInput(
        f"the disk is full: training in {work} could not write ({reason.rstrip('.')}), and "
        f"{size(free_bytes(work))} is free. Free some space and run again{goes_on}. {WAY_OUT}"
    )


def most_bytes_of(model_bytes: int, checkpoints: int) -> int:
    """The most that a run without a trunk takes: its model twice, checkpoints, and one being written.

    model_bytes: of weights in float32. checkpoints: how many are kept.
    """
    return 2 * model_bytes + (checkpoints + 1) * BUFFERS * model_bytes


def free_bytes(folder: Path) -> int:
    """What is free for this user on a folder's disk; the folder need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def used_bytes(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
