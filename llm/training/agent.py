"""torchrun, guarded: dies with the process that started it, and passes on how its ranks ended.

`python -m llm.training.agent PARENT_PID [torchrun arguments]`
"""

import os
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from llm.training.guard import AGAIN, AGENT, PEER_LOST, SIGNALLED, STOPPED, die_with_parent


def main(arguments: list[str]) -> int:
    """Run torchrun; the exit status of the first rank that failed, STOPPED after a signal, or 0."""
    die_with_parent(int(arguments[0]))
    os.environ[AGENT] = str(os.getpid())
    try:
        torchrun(arguments[1:])
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        statuses = [failure.exitcode for failure in error.failures.values()]
        if AGAIN in statuses:
            return AGAIN
        # Whoever lost a peer is not the cause; a rank that a signal ended has a negative status.
        causes = [status for status in statuses if status != PEER_LOST] or statuses
        return causes[0] if causes[0] > 0 else SIGNALLED - causes[0]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
