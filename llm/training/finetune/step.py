"""The finetune step: a base model and rows in, a model that does a task out.

One step for all tasks. It has pretraining's loop, launcher and checkpoints; what the examples are, what
is asked of the model and what its folder says is the task's (`llm.training.finetune.task`), which is a
part of the call: the step imports none.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.durable import file_digest, write_json
from llm.settings import deciding, restored
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.training.finetune.epochs import Epochs
from llm.training.finetune.prepare import setup_of, splits_in
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import task_of
from llm.training.incidents import Incidents
from llm.training.ranks.room import most_bytes_of
from llm.training.work import METRICS, MODEL, SEEN, folder_digest, hand_over
from llm.words import counted

if TYPE_CHECKING:
    from llm.training.ranks.rank import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors", "tokenizers")
BEFORE = "before.json"  # figures of the base model
MEASURED = "measured.json"


def finetune(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Tune the model in `inputs["model"]` on the rows in `inputs["rows"]`.

    Writes model/, metrics.jsonl and seen.jsonl. Raises BadInput, TrainingError.
    """
    [artifact], [rows] = inputs["model"], inputs["rows"]
    setup = setup_of(values, artifact / MODEL, rows)
    train_rows = len(task_of(values.task).rows(setup, rows / "train"))
    rows_per_step = _rows_per_step(values, setup.base.context_length)
    steps = values.steps or math.ceil(values.epochs * train_rows / rows_per_step)
    weights = sorted(setup.base.folder.glob("*.safetensors"))
    read = sorted(path for path in rows.rglob("*") if path.is_file())
    job = {
        "values": dataclasses.asdict(values),
        "base": str(setup.base.folder.resolve()),
        "rows": str(rows.resolve()),
        "steps": steps,
        "rows_per_step": rows_per_step,
        "identity": digest_of([repr(deciding(values)), *map(file_digest, [*weights, *read])]),
        **context.launch.how(context.machine, setup.base.context_length),
    }
    context.launch.train(
        __name__,
        job,
        context,
        parts=values.data_parallel,
        steps=steps,
        most_bytes=most_bytes_of(sum(path.stat().st_size for path in weights), values.keep_last),
    )
    hand_over(context.work, context.out, (MODEL, METRICS, SEEN))
    measured = json.loads((context.work / MEASURED).read_bytes())
    return StepResult(
        counts={"steps": steps, **_counts(measured), **Incidents.read(context.work).counts()},
        content=folder_digest(context.out / MODEL),
        summary=_summary(steps, measured),
    )


def _rows_per_step(values: FinetuneSettings, context_length: int) -> int:
    rows = values.batch_tokens // context_length
    if rows < values.data_parallel:
        raise BadInput(
            f"finetune {values.name}: batch_tokens {values.batch_tokens} must be at least "
            f"data_parallel {values.data_parallel} times the model's context of {context_length}"
        )
    return rows


def _counts(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Figures as counts: validation_loss: {before: 3.1, after: 2.4}, test_loss: {after: 2.5}."""
    found: dict[str, dict[str, float | None]] = {}
    for when, splits in measured.items():
        for split, figures in splits.items():
            for name, value in figures.items():
                rounded = None if value is None else round(value, 4)
                found.setdefault(f"{split}_{name}", {})[when] = rounded
    return found


def _summary(steps: int, measured: Mapping[str, Mapping[str, Any]]) -> str:
    before, after = (measured[when]["validation"]["loss"] for when in ("before", "after"))
    if before is None:
        return f"{counted(steps, 'step')}, none held out"
    return f"{counted(steps, 'step')}, held-out loss {before:.3f} to {after:.3f}"


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.training import devices, loop

    task = task_of(job["values"]["task"])
    folder = Path(job["rows"])
    values = restored(task.settings, job["values"])
    setup = setup_of(values, Path(job["base"]), folder)
    device = devices.choose(job["device"])
    model = task.model(setup, device, devices.compute_type(values.precision, device))
    plan = values.plan(
        job,
        steps=job["steps"],
        tokens_per_step=job["rows_per_step"] * setup.base.context_length,
    )
    rows = {split: task.rows(setup, folder / split) for split in splits_in(folder)}

    def measure(*splits: str) -> dict[str, Mapping[str, float | None]]:
        return {name: task.measure(setup, model, rows[name]) for name in splits}

    if group.rank == 0 and not (work / BEFORE).exists():
        write_json(work / BEFORE, measure("validation"))
    source = Epochs(rows["train"], job["rows_per_step"], values.seed)
    done = loop.train(model, source, task.objective(setup), plan, group, work)
    if done == plan.steps and group.rank == 0:
        after = measure(*(split for split in rows if split != "train"))
        before = json.loads((work / BEFORE).read_bytes())
        write_json(work / MEASURED, {"before": before, "after": after})
        task.save(setup, model, work / MODEL)
    return done == plan.steps


if __name__ == "__main__":
    from llm.training.ranks import rank

    sys.exit(rank.run(train, sys.argv[1:]))
