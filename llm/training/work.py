"""What lies in a training run's work folder, and how its logs are kept in step with checkpoints."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.durable import file_digest, replacing
from llm.step import digest_of

JOB = "job.json"  # what to do, for the ranks
STARTED = "started.json"  # from which step the ranks went on, and what they had to say about it
FAILURE = "failure.json"  # why a rank gave up
LOG = "train.log"  # standard output and error of torchrun and all ranks
METRICS = "metrics.jsonl"  # one line a step
SEEN = "seen.jsonl"  # what each step read
PHASES = "phases.jsonl"  # what joined the data at which step, a line a phase; of the artifact only
CHECKPOINTS = "checkpoints"
TRUNK = "trunk"  # the checkpoint where the decay began: a longer run goes on from here
MODEL = "model"


def append(path: Path, value: Any) -> None:
    """Add one line of JSON."""
    with path.open("a") as log:
        log.write(json.dumps(value) + "\n")


def cut_back(path: Path, done: int) -> None:
    """Keep a log's lines up to step `done`; later ones, and a torn last one, are made again."""
    if not path.exists():
        return
    with path.open() as log, replacing(path) as aside, aside.open("w") as kept:
        for line in log:
            if not line.endswith("\n") or json.loads(line)["step"] > done:
                break
            kept.write(line)


def hand_over(work: Path, out: Path, names: Sequence[str]) -> None:
    """Copy files and folders of the work folder into the artifact.

    Copies, not moves: if the artifact is never committed, a retry finds its work as it was.
    """
    for name in names:
        if (work / name).is_dir():
            shutil.copytree(work / name, out / name)
        else:
            shutil.copyfile(work / name, out / name)


def sync_file(path: Path) -> None:
    """fsync a file that is appended to, where there is one."""
    if path.exists():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def last_line(path: Path) -> dict[str, Any]:
    """The last line of a log."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - (1 << 20)))
        found: dict[str, Any] = json.loads(log.readlines()[-1])
        return found


def folder_digest(folder: Path) -> str:
    """Digest of the names and contents of a folder's files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return digest_of(text for path in files for text in (path.name, file_digest(path)))
