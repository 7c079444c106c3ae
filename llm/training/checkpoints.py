"""Checkpoints: a folder a step, written aside, synced and renamed; the last few are kept.

state.safetensors holds the flat buffers, checkpoint.json what else there is to know, with the size
and digest of the former. A folder that does not match its own description is never used.
"""

import errno
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from llm.durable import commit_folder, empty_folder, file_digest, sync_folder, write_json
from llm.tensor_file import FULL, write_tensors
from llm.training.work import CHECKPOINT_NOTE

STATE = "state.safetensors"
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole. note: step, tokens, identity, environment, layout."""

    folder: Path
    note: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Steps done when it was written."""
        return int(self.note["step"])

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy the saved buffers into `tensors`, which have the same names and sizes."""
        with self.opened() as state:
            for name, target in tensors.items():
                target.copy_(state.get_tensor(name))

    def opened(self) -> safe_open:
        """The file of buffers, mapped into memory: of which only what is asked for is read."""
        return safe_open(str(self.folder / STATE), framework="pt")


def save(folder: Path, tensors: Mapping[str, torch.Tensor], note: Mapping[str, Any]) -> None:
    """Write a checkpoint to `folder`, in place of one that may be there.

    Raises OSError with what is whole and what to do when the disk is full; nothing half-written
    stays under the final name.
    """
    aside = folder.with_name(f".{folder.name}.tmp")
    try:
        empty_folder(aside)
        write_tensors(aside / STATE, {name: one.cpu() for name, one in tensors.items()})
        size, digest = (aside / STATE).stat().st_size, file_digest(aside / STATE)
        write_json(aside / CHECKPOINT_NOTE, {**note, "bytes": size, "digest": digest})
        if folder.exists():
            remove(folder)
        commit_folder(aside, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _explained(error, folder, tensors) from error


def _explained(
    error: Exception, folder: Path, tensors: Mapping[str, torch.Tensor]
) -> OSError | RuntimeError:
    """The error of a failed checkpoint, with what to do."""
    size = sum(tensor.nbytes for tensor in tensors.values())
    full = isinstance(error, OSError) and error.errno in FULL
    if not full:
        return RuntimeError(f"checkpoint {folder} could not be written: {error}")
    return OSError(
        errno.ENOSPC,
        f"no space for checkpoint {folder.name} ({size:,} bytes) in {folder.parent}: free at least "
        f"{3 * size:,} bytes ({error})",
    )


def remove(folder: Path) -> None:
    """Take a checkpoint away: out of sight first, so that a crash leaves no torn one."""
    doomed = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    sync_folder(folder.parent)
    shutil.rmtree(doomed)


def read(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`. Raises ValueError telling what is torn or damaged."""
    try:
        note = json.loads((folder / CHECKPOINT_NOTE).read_bytes())
        size, digest, step = note["bytes"], note["digest"], int(note["step"])
        found = (folder / STATE).stat().st_size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {folder} is unreadable: {error!r}") from error
    if found != size:
        raise ValueError(f"checkpoint {folder} of step {step} has {found} bytes, not {size}")
    if file_digest(folder / STATE) != digest:
        raise ValueError(f"checkpoint {folder} of step {step} does not match its digest")
    return Checkpoint(folder, note)


def step_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return root / f"step-{step:09d}"


def fitting(
    root: Path, fits: Callable[[Mapping[str, Any]], bool], warn: Warn
) -> Iterator[Checkpoint]:
    """The whole checkpoints under `root` whose notes fit, newest first; others are named to `warn`."""
    for folder in sorted(root.glob("step-*"), reverse=True):
        try:
            checkpoint = read(folder)
        except ValueError as error:
            warn(f"{error}; the one before it is used")
            continue
        if fits(checkpoint.note):
            yield checkpoint
        else:
            warn(f"checkpoint {folder} belongs to other settings or data: not used")


def remove_after(root: Path, step: int) -> None:
    """Remove the checkpoints of later steps: a run that goes on from `step` makes its own."""
    for folder in root.glob("step-*"):
        if _step_of(folder) > step:
            remove(folder)


def prune(root: Path, kept: Collection[int]) -> None:
    """Remove the checkpoints of other steps than `kept`, and what crashes left behind."""
    for folder in sorted(root.glob("step-*")):
        if _step_of(folder) not in kept:
            remove(folder)
    for left in (*root.glob(".step-*.tmp"), *root.glob(".step-*.old")):
        shutil.rmtree(left)


def steps(root: Path) -> list[int]:
    """The steps that have a checkpoint, ascending; whether those are whole is not looked at."""
    return sorted(_step_of(folder) for folder in root.glob("step-*"))


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
