"""torchrun, guarded: dies with the process that started it, and passes on how its ranks ended.

`python -m llm.training.agent PARENT_PID [torchrun arguments]`
"""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from llm.training.guard import STOPPED, die_with_parent


def main(arguments: list[str]) -> int:
    """Run torchrun; the exit status of the first rank that failed, STOPPED after a signal, or 0."""
    die_with_parent(int(arguments[0]))
    try:
        torchrun(arguments[1:])
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
