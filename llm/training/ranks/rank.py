"""One training process among those that torchrun started: who it is, and how it ends.

Ranks of one machine share memory and meet at barriers in it, where the machine allows that; else
these go over a socket, and that over loopback. On GPUs gradients go by NCCL.
"""

import datetime
import json
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from llm.durable import write_json
from llm.parts import only
from llm.tensor_file import FULL
from llm.training.ranks.barrier import Barrier, PeerLost, is_supported
from llm.training.ranks.guard import AGAIN, AGENT, NO_SPACE, PEER_LOST, STOPPED, die_with_parent
from llm.training.work import FAILURE

SHARED_MEMORY = Path("/dev/shm")
# What a collective says when another rank is gone; PyTorch has no type for all of them.
LOST = ("Connection closed by peer", "Connection reset by peer", "NCCL", "gloo")
T = TypeVar("T")


class StartAgain(RuntimeError):
    """The ranks cannot go on together, and will when they are started again from the last checkpoint."""


@dataclass
class Group:
    """The processes that train together. Made plain, it is a group of one (notebooks, tests).

    stopping: whether this process was asked to stop (SIGTERM); the others learn it at a barrier.
    scratch: where shared memory goes when /dev/shm is too small.
    """

    rank: int = 0
    size: int = 1
    scratch: Path | None = None
    stopping: bool = False
    _barrier: Barrier | None = None

    def barrier(self) -> None:
        """Wait for all. Raises PeerLost when another process has died."""
        if self._barrier is not None:
            self._barrier.wait()
        elif self.size > 1:
            try:
                dist.barrier()
            except RuntimeError as error:
                raise PeerLost(f"rank {self.rank} lost another rank: {error}") from error

    def meet_in_memory(self) -> None:
        """From now on barriers are in shared memory, where the machine allows it; all ranks call it."""
        if self.size > 1 and is_supported():
            barrier = Barrier(self.share(Barrier.size(self.size)), self.rank, self.size)
            self.barrier()
            self._barrier = barrier

    def tell(self, value: T) -> T:
        """Rank 0's value (which can be pickled), on every rank."""
        if self.size == 1:
            return value
        told: list[Any] = [value]
        dist.broadcast_object_list(told)
        answer: T = told[0]
        return answer

    def share(self, size: int) -> Tensor:
        """(size,) bytes of zeros that all ranks see, gone with the last of them."""
        if self.size == 1:
            return torch.zeros(size, dtype=torch.uint8)
        path = Path(self.tell(str(self._reserve(size)) if self.rank == 0 else ""))
        shared = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
        self.barrier()
        if self.rank == 0:
            path.unlink()  # the memory lives as long as it is mapped, and no crash leaves it behind
        return shared

    def _reserve(self, size: int) -> Path:
        """A file of `size` zeros in shared memory, or in the work folder where that is too small."""
        folders = [SHARED_MEMORY] if SHARED_MEMORY.is_dir() else []
        folders += [self.scratch] if self.scratch else []
        problem: OSError | None = None
        for folder in folders:
            path = folder / f"penstock-{uuid.uuid4().hex}"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                # Room is claimed now: a full tmpfs would otherwise kill the process with SIGBUS.
                os.posix_fallocate(handle, 0, size)
                return path
            except OSError as error:
                problem = error
                path.unlink()
                print(f"{folder} has no room for {size:,} bytes of shared memory", file=sys.stderr)
            finally:
                os.close(handle)
        raise OSError(
            f"no room for {size:,} bytes that the training processes share in "
            f"{' or '.join(map(str, folders))}: enlarge /dev/shm, free disk space, or set "
            "processes to 1 for this machine"
        ) from problem


def join(scratch: Path, device: str = "cpu") -> Group:
    """Become one of the ranks that torchrun started: one thread, guarded, SIGTERM noted.

    device: the machine's, auto, cpu or cuda; each rank takes a GPU of its own.
    """
    agent = os.environ.get(AGENT)
    die_with_parent(int(agent) if agent else None)
    torch.set_num_threads(1)
    group = Group(
        rank=int(os.environ.get("RANK", "0")),
        size=int(os.environ.get("WORLD_SIZE", "1")),
        scratch=scratch,
    )

    def stop(number: int, frame: FrameType | None) -> None:
        group.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    if group.size > 1:
        dist.init_process_group(backend, timeout=datetime.timedelta(hours=1))
        group.meet_in_memory()
    return group


def is_lost_peer(error: Exception, group: Group) -> bool:
    """Whether the error is that of another rank's end, as a barrier or a collective tells it."""
    if isinstance(error, (PeerLost, dist.DistError)):
        return True
    told = isinstance(error, RuntimeError) and any(sign in str(error) for sign in LOST)
    return told and group.size > 1


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it comes from, says that the disk or the quota is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _say(text: str) -> None:
    """A line for the log, which lies on a disk that may be full: then the exit status has to do."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def run(train: Callable[[dict[str, Any], Group, Path], bool], arguments: list[str]) -> int:
    """The main program of a rank: `train(job, group, work)` with the job file's contents.

    `train` says whether it came to the end. The exit status is 0, or STOPPED if it did not; an
    exception's reason is left in the work folder for the parent.
    """
    job_file = Path(arguments[0])
    work = job_file.parent
    job = json.loads(job_file.read_bytes())
    group = join(work, job["device"])
    try:
        with only(job.get("parts")):
            finished = train(job, group, work)
        group.barrier()
    except StartAgain as error:
        _say(str(error))
        return AGAIN
    except Exception as error:
        if is_lost_peer(error, group):
            _say(str(error))
            return PEER_LOST
        _say(traceback.format_exc())
        try:
            write_json(work / FAILURE, {"type": type(error).__name__, "message": str(error)})
        except OSError as problem:  # the exit status has to tell what the note could not
            _say(f"the reason could not be noted: {problem}")
        return NO_SPACE if is_full(error) else 1
    if group.size > 1:
        dist.destroy_process_group()
    return 0 if finished else STOPPED
