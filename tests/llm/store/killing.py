"""Killing a process at each change that it makes to the disk, in turn."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any

CHANGES = ("rename", "replace", "unlink", "rmdir", "mkdir", "link", "truncate", "ftruncate")


def killed_everywhere(action: Callable[[], Any], most: int = 200) -> Iterator[int]:
    """Carry `action` out in a forked process that gets SIGKILL before its n-th change to the disk.

    Yields n for n = 0, 1, ... until the action comes to its end. What has happened is to be looked
    at, and put back, within the loop.
    """
    for allowed in range(most):
        if not _is_killed(action, allowed):
            return
        yield allowed
    raise AssertionError(f"more than {most} changes")


def _is_killed(action: Callable[[], Any], allowed: int) -> bool:
    child = os.fork()
    if not child:
        try:
            _die_after(allowed)
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed by itself"
    return False


def _die_after(allowed: int) -> None:
    done = 0

    def counted(function: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done == allowed:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return function(*arguments, **options)

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
