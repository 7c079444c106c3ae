"""Which steps two runs share, and going on from an earlier run's.

Up to the start of the decay nothing hangs on how long a run is to be: checkpoints from there bear the
run's identity alone. Those from inside the decay bear its ending too.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from llm.step import Context, digest_of
from llm.training.schedule import ScheduleSettings
from llm.training.work import METRICS, SEEN, TRUNK


def ending(schedule: ScheduleSettings, steps: int) -> str:
    """Digest of what decides the steps of the decay, beside what decides all steps."""
    return digest_of([repr(dataclasses.asdict(schedule)), str(steps)])


def adopt(trunks: Sequence[Path], identity: str, last: int, context: Context) -> Path | None:
    """The checkpoint folder of an earlier run to go on from, its logs copied; None: from scratch.

    last: the step that begins the decay. Where a trunk does not fit, the reason is a warning: a run
    from scratch gives the same result.
    """
    if not trunks:
        return None
    from llm.training import checkpoints  # imports torch

    for artifact in trunks:
        try:
            found = checkpoints.read(artifact / TRUNK)
        except ValueError as error:
            context.report.warning(f"{error}; training starts from scratch")
            continue
        if found.note["identity"] != identity or found.step > last:
            context.report.warning(
                f"the earlier run in {artifact} has other settings or data, or began to decay after "
                f"step {last}: training starts from scratch"
            )
            continue
        for name in (METRICS, SEEN):
            if not (context.work / name).exists():
                shutil.copyfile(artifact / name, context.work / name)
        return found.folder
    return None
