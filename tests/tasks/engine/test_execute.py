"""Which errors a step's own retries try again."""

import errno
from concurrent.futures.process import BrokenProcessPool

import pytest

from llm.step import BadInput, WorkerLost
from llm.training.ranks.launch import TrainingError, TrainingInterrupted
from tasks.engine.execute import worth_retrying


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset by peer"),
        TimeoutError("timed out"),
        OSError(errno.EIO, "input/output error"),
        OSError("An error occurred (SlowDown)"),
        WorkerLost("killed"),
        TrainingInterrupted("training was ended by SIGKILL"),
        BrokenProcessPool("a child process terminated abruptly"),
    ],
)
def test_what_may_have_passed_is_tried_again(error: Exception) -> None:
    assert worth_retrying(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("the artifact clean/abc is gone: run again"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError("Access Denied"),  # as s3fs raises it, without an errno
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        TrainingError("loss is not finite"),
        BadInput("no documents"),
        ValueError("a bug"),
    ],
)
def test_what_stays_as_it_is_is_not(error: Exception) -> None:
    assert not worth_retrying(error)
