"""Which steps two runs share, and going on from an earlier run's.

Up to the start of the decay nothing depends on how long a run is to be: checkpoints from there bear the
identity of what they read alone. Those from inside the decay bear its ending too.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.step import Context, digest_of
from llm.tokens.phases import Phase
from llm.training.incidents import Incidents
from llm.training.schedule import ScheduleSettings
from llm.training.work import METRICS, SEEN, TRUNK

Note = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Start:
    """The checkpoint of an earlier run to go on from. note: what it tells of itself."""

    folder: Path
    note: Note

    def data(self, phases: Sequence[Phase]) -> list[Phase]:
        """The phases as this checkpoint's run reads them.

        Where it skipped data, it is ahead of its steps by as much. What joins begins there, so that
        none of it is passed over: steps 0 to 69 read up to 72, step 70 reads 73 on.
        """
        skipped = Incidents.of(self.note.get("incidents", {})).left_out
        return [
            dataclasses.replace(phase, from_step=phase.from_step + len(skipped))
            if phase.from_step >= int(self.note["step"])
            else phase
            for phase in phases
        ]


def ending(schedule: ScheduleSettings, trunk_at: int, steps: int) -> str:
    """Digest of what decides the steps of the decay, beside what decides all steps."""
    return digest_of([repr(dataclasses.asdict(schedule)), str(trunk_at), str(steps)])


def adopt(
    trunks: Sequence[Path], fits: Callable[[Note], bool], last: int, context: Context
) -> Start | None:
    """The checkpoint of an earlier run to go on from, its logs copied; None: from scratch.

    fits: whether a checkpoint of these notes is one of this run. last: the step that begins the
    decay. Where a trunk does not fit, the reason is a warning: a run from scratch gives the same
    result.
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
        if found.step > last or not fits(found.note):
            context.report.warning(
                f"the earlier run in {artifact} has other settings or data, or began to decay after "
                f"step {last}: training starts from scratch"
            )
            continue
        for name in (METRICS, SEEN):
            if not (context.work / name).exists():
                shutil.copyfile(artifact / name, context.work / name)
        return Start(found.folder, found.note)
    return None
