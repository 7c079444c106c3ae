"""Starts ranks quickly: a process that has imported torch once and forks itself for each of them.

A line on standard input, `PROCESSES JOB_FILE`, starts that many ranks in a process group of their
own; a line on standard output gives the group's id. When all have ended, a second one gives their
exit statuses (minus the signal's number for those that were killed).
"""

import os
import socket
import sys
from pathlib import Path

from llm.models import decoder, folder  # noqa: F401 - what ranks import is imported before the fork
from llm.training import devices, loop
from llm.training.pretrain import step as pretrain
from llm.training.ranks.rank import run


def become_rank(rank: int, size: int, port: int, leader: int, job: str) -> None:
    """In a forked child: run the rank and end."""
    os.setpgid(0, leader)
    log = os.open(Path(job).with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), GLOO_SOCKET_IFNAME="lo")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    status = 1
    try:
        status = run(pretrain.train, [job])
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def main() -> None:
    """Serve until standard input ends."""
    assert devices and loop
    for line in sys.stdin:
        size, job = line.split()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        children: list[int] = []
        for rank in range(int(size)):
            child = os.fork()
            if child == 0:
                become_rank(rank, int(size), port, children[0] if children else 0, job)
            os.setpgid(child, children[0] if children else child)
            children.append(child)
        print(children[0], flush=True)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(*statuses, flush=True)


if __name__ == "__main__":
    main()
