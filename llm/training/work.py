"""What lies in a training run's work folder, and how its logs are kept in step with checkpoints."""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

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
CHECKPOINT_NOTE = "checkpoint.json"  # of a checkpoint, written last
TRUNK = "trunk"  # the checkpoint where the decay began: a longer run goes on from here
MODEL = "model"

BUFFERS = 3  # of a checkpoint: parameters and two moments (run.py)


class Log:
    """A file that gets a line of JSON a step. It stays open: a small model's step takes 20 ms."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def append(self, value: Any) -> None:
        """Add a line, for others to read at once."""
        if self._file is None:
            self._file = self.path.open("a")
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()

    def cut_back(self, done: int) -> None:
        """Keep the lines up to step `done`; later ones, and a torn last one, are made again."""
        self.close()
        if not self.path.exists():
            return
        with self.path.open() as log, replacing(self.path) as aside, aside.open("w") as kept:
            for line in log:
                if not line.endswith("\n") or json.loads(line)["step"] > done:
                    break
                kept.write(line)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with suppress(OSError):  # a line that found no room was told when it was added
                self._file.close()
            self._file = None


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
