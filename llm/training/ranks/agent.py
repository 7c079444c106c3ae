"""torchrun, guarded: dies with the process that started it, and passes on how its ranks ended.

`python -m llm.training.ranks.agent PARENT_PID [torchrun arguments] --module MODULE JOB`

With --start-method=fork ranks are forked from this process when it has imported what they need, and
share that memory. A GPU's driver must not be forked, so there torchrun starts them as programs.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args
from torch.distributed.run import main as torchrun

from llm.models.kernels import availability
from llm.parts import load_all
from llm.training.baseline import step as baseline
from llm.training.finetune import step as finetune
from llm.training.pretrain import step as pretrain
from llm.training.ranks import rank
from llm.training.ranks.guard import AGAIN, AGENT, PEER_LOST, SIGNALLED, STOPPED, die_with_parent

TRAINERS = {one.__name__: one.train for one in (baseline, finetune, pretrain)}
PEER_LOST_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Run the ranks; the exit status of the first that failed, STOPPED after a signal, or 0."""
    die_with_parent(int(arguments[0]))
    os.environ[AGENT] = str(os.getpid())
    options = parse_args(arguments[1:])
    try:
        if options.start_method == "fork":
            config, _, _ = config_from_args(options)
            _import_what_ranks_share(Path(options.training_script_args[0]))
            elastic_launch(config, forked)(options.training_script, *options.training_script_args)
        else:
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


def forked(module: str, *arguments: str) -> None:
    """What a forked rank does: a module's `train`, as the module does that is run as a program."""
    status = rank.run(TRAINERS[module], list(arguments))
    if status == PEER_LOST:
        # The agent asks one rank only how it ended, and ends the others: let that be the cause.
        time.sleep(PEER_LOST_SECONDS)
    if status:
        sys.exit(status)


def _import_what_ranks_share(job_file: Path) -> None:
    """What ranks import where they first need it, the parts of their job among it."""
    from llm.models import folder, growth  # noqa: F401
    from llm.training import devices, loop  # noqa: F401

    load_all(json.loads(job_file.read_bytes()).get("parts") or {})
    if availability.installed():
        from llm.models.kernels import operations  # noqa: F401
    gc.collect()
    gc.freeze()  # a later collection would write to what is shared, and so copy it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
