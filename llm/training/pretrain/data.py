"""What pretraining reads by step: the data's rows as the objective makes them, and those it is measured on."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.step import BadInput
from llm.tokens.batches import Batches
from llm.tokens.phases import Phase, Phases
from llm.training.batch import Batch, BatchSource
from llm.training.objectives.build import Pretraining

if TYPE_CHECKING:
    from llm.training.pretrain.settings import PretrainSettings
    from llm.training.ranks.rank import Group
    from llm.training.validation import Slice


def read_data(values: "PretrainSettings", phases: Sequence[Phase]) -> Phases:
    """The rows of the token stream by step, before an objective hides any of it."""
    return Phases(
        phases,
        values.model.context_length,
        values.rows,
        values.seed,
        packing=values.packing,
        document_mask=values.document_mask,
    )


class Windows:
    """The loop's source of rows: those of the shards, dealt to the parts in order."""

    def __init__(self, data: Phases | Batches) -> None:
        self.data = data

    def part(self, step: int, part: int, parts: int) -> Batch:
        """Rows part/parts to (part + 1)/parts of the step's batch."""
        rows = self.data.sequences
        tokens, targets, segments = self.data.batch(
            step, part * rows // parts, (part + 1) * rows // parts
        )
        return Batch.of(tokens=tokens, targets=targets, segments=segments)

    def seen(self, step: int) -> list[int]:
        """The numbers of the step's rows within its phase."""
        return self.data.windows_of(step).tolist()


def rows_of(values: "PretrainSettings", data: Phases, objective: Pretraining) -> BatchSource:
    """What the loop reads: the rows of `data`, as the objective makes them."""
    return objective.batches(Windows(data), values.rows)


def check_rows(rows: BatchSource, values: "PretrainSettings") -> None:
    """Read the first step's first part: what an objective cannot do with its rows is told now."""
    try:
        rows.part(0, 0, values.data_parallel)
    except ValueError as error:
        raise BadInput(f"pretrain.{error}") from error


def validation_slice(
    values: "PretrainSettings", job: dict[str, Any], objective: Pretraining, group: "Group"
) -> "Slice | None":
    """The rows on which the loss is measured; None, saying so, when there is not one."""
    from llm.training.validation import ROWS, Slice, ValidationWindows

    assert values.validate_every
    paths = [Path(path) for path in job["validation"]]
    windows = ValidationWindows(paths, values.validation_tokens, values.model.context_length)
    if not len(windows.rows):
        if group.rank == 0:
            print(
                "the validation split has no whole window: its loss is not measured",
                file=sys.stderr,
            )
        return None
    rows = objective.batches(windows, ROWS)
    size = windows.bytes if values.objective.type == "next_token" else None
    return Slice(rows, windows.steps, size, values.validate_every, group)
