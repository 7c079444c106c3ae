"""The finetune step: a base model and examples in, a model that does a task out.

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

from llm.durable import empty_folder, file_digest, write_json
from llm.examples.shards import SPLITS
from llm.settings import deciding, restored
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.training.finetune.epochs import Epochs
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import Base, task_of
from llm.training.incidents import Incidents
from llm.training.ranks.room import most_bytes_of
from llm.training.work import METRICS, MODEL, SEEN, folder_digest, hand_over
from llm.words import counted

if TYPE_CHECKING:
    from llm.training.ranks.rank import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors", "tokenizers")
MEASURED = {"before": "validation-before.json", "after": "validation-after.json"}


def finetune(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Tune the model in `inputs["model"]` on train.arrow and validation.arrow of `inputs["data"]`.

    Writes model/, metrics.jsonl and seen.jsonl. Raises BadInput, TrainingError.
    """
    task = task_of(values.task)
    [artifact], [data] = inputs["model"], inputs["data"]
    base = _base(artifact / MODEL)
    rows_per_step = _rows_per_step(values, base.context_length)
    counts = {
        split: task.prepare(
            values,
            split,
            data / f"{split}.arrow",
            base,
            empty_folder(rows_of(context.work, split)),
            context.report,
        )
        for split in SPLITS
    }
    steps = values.steps or math.ceil(values.epochs * counts["train"]["rows"] / rows_per_step)
    weights = sorted(base.folder.glob("*.safetensors"))
    rows = [path for split in SPLITS for path in sorted(rows_of(context.work, split).iterdir())]
    job = {
        "values": dataclasses.asdict(values),
        "base": str(base.folder.resolve()),
        "steps": steps,
        "rows_per_step": rows_per_step,
        "identity": digest_of([repr(deciding(values)), *map(file_digest, [*weights, *rows])]),
        **context.launch.how(context.machine, base.context_length),
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
    measured = {when: _measured(context.work, when) for when in MEASURED}
    return StepResult(
        counts={
            **counts,
            "steps": steps,
            **_by_figure(measured),
            **Incidents.read(context.work).counts(),
        },
        content=folder_digest(context.out / MODEL),
        summary=_summary(counts["train"], steps, measured),
    )


def rows_of(work: Path, split: str) -> Path:
    """Where a split's rows lie in the work folder."""
    return work / f"{split}-rows"


def _base(folder: Path) -> Base:
    """The base model, whatever layout its folder has."""
    from llm.models.folder import read_config  # imports torch

    return Base(folder, read_config(folder).context_length)


def _rows_per_step(values: FinetuneSettings, context_length: int) -> int:
    rows = values.batch_tokens // context_length
    if rows < values.data_parallel:
        raise BadInput(
            f"finetune {values.name}: batch_tokens {values.batch_tokens} must be at least "
            f"data_parallel {values.data_parallel} times the model's context of {context_length}"
        )
    return rows


def _measured(work: Path, when: str) -> dict[str, float | None]:
    found = json.loads((work / MEASURED[when]).read_bytes())
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def _by_figure(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Held-out figures as counts: validation_loss: {before: 3.1, after: 2.4}."""
    return {
        f"validation_{figure}": {when: found[figure] for when, found in measured.items()}
        for figure in measured["after"]
    }


def _summary(train: Mapping[str, int], steps: int, measured: Mapping[str, Any]) -> str:
    text = f"{counted(train['examples'], 'example')}, {counted(steps, 'step')}"
    before, after = (measured[when]["loss"] for when in ("before", "after"))
    if before is None:
        return f"{text}, none held out"
    return f"{text}, held-out loss {before:.3f} to {after:.3f}"


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.training import devices, loop

    task = task_of(job["values"]["task"])
    values = restored(task.settings, job["values"])
    device = devices.choose(job["device"])
    base = _base(Path(job["base"]))
    model = task.model(values, base, device, devices.compute_type(values.precision, device))
    plan = values.plan(
        job,
        steps=job["steps"],
        tokens_per_step=job["rows_per_step"] * base.context_length,
    )
    train_rows, held_out = (task.rows(values, rows_of(work, split), base) for split in SPLITS)
    rows = Epochs(train_rows, job["rows_per_step"], values.seed)
    if group.rank == 0:
        write_json(work / MEASURED["before"], task.measure(values, model, held_out))
    done = loop.train(model, rows, task.objective(values), plan, group, work)
    if done == plan.steps and group.rank == 0:
        write_json(work / MEASURED["after"], task.measure(values, model, held_out))
        task.save(values, model, work / MODEL, base)
    return done == plan.steps


if __name__ == "__main__":
    from llm.training.ranks import rank

    sys.exit(rank.run(train, sys.argv[1:]))
