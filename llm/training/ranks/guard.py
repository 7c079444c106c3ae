"""How a training process ends with its parent, and how it says that it was stopped."""

import ctypes
import os
import signal
import sys

STOPPED = 75  # exit status "try again later" (EX_TEMPFAIL): stopped on request, after a checkpoint
NO_SPACE = 74  # exit status of a rank that could not write (EX_IOERR): the disk is full
PEER_LOST = 76  # exit status of a rank that ends because another one did
AGAIN = 77  # exit status of a rank that found no memory: all start again with a smaller micro-batch
SIGNALLED = 128  # plus a signal's number: how shells tell that a signal ended a process
PR_SET_PDEATHSIG = 1  # linux/prctl.h

AGENT = "PENSTOCK_AGENT"  # environment: the process id of the torchrun that starts the ranks


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, kill -9 included (Linux only).

    parent: the process id that the parent should have; if it is gone already, exit at once.
    """
    if sys.platform.startswith("linux"):
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if parent is not None and os.getppid() != parent:
            sys.exit(STOPPED)
