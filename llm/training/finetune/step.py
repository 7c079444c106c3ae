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

import numpy as np

from llm.durable import empty_folder, file_digest, write_json
from llm.parts import load
from llm.settings import deciding, restored
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.training.finetune.epochs import Epochs, check_seen
from llm.training.finetune.prepare import setup_of, splits_in
from llm.training.finetune.settings import FinetuneSettings, lacks
from llm.training.finetune.task import Rows, Setup, task_of
from llm.training.incidents import Incidents
from llm.training.ranks.room import most_bytes_of
from llm.training.work import METRICS, MODEL, SEEN, folder_digest, hand_over
from llm.words import counted

if TYPE_CHECKING:
    from torch import nn

    from llm.training.finetune.best import Best
    from llm.training.ranks.rank import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors", "tokenizers")
BEFORE = "before.json"  # figures of the base model
MEASURED = "measured.json"
ADAPTER = "adapter"
ADAPTER_ROWS = 4  # on which a merged model is compared with what was trained


def finetune(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Tune the model in `inputs["model"]` on the rows in `inputs["rows"]`.

    inputs["reference"]: what the base makes of the rows, for a task that refers.

    Writes model/, metrics.jsonl and seen.jsonl, and for an adapter adapter/ in peft's layout, which is
    part of model/ already. Raises BadInput, TrainingError.
    """
    [artifact], [rows] = inputs["model"], inputs["rows"]
    referred = list(inputs.get("reference", ()))
    setup = setup_of(values, artifact / MODEL, rows)
    if lacking := lacks(values.adapt, setup.base.config):
        raise BadInput(
            f"finetune {values.name}: adapt.targets names {lacking[0]}, and the model has none: leave it out"
        )
    train_rows = task_of(values.task).rows(setup, rows / "train")
    rows_per_step = _rows_per_step(values, train_rows.length)
    an_epoch = len(train_rows) / rows_per_step
    steps = values.steps or math.ceil(values.epochs * an_epoch)
    weights = sorted(setup.base.folder.glob("*.safetensors"))
    read = sorted(
        path for folder in (rows, *referred) for path in folder.rglob("*") if path.is_file()
    )
    job = {
        "values": dataclasses.asdict(values),
        "base": str(setup.base.folder.resolve()),
        "rows": str(rows.resolve()),
        "reference": [str(one.resolve()) for one in referred],
        "steps": steps,
        "rows_per_step": rows_per_step,
        "row_length": train_rows.length,
        "measured_every": _measured_every(values, an_epoch),
        "identity": digest_of([repr(deciding(values)), *map(file_digest, [*weights, *read])]),
        **context.launch.how(context.machine, train_rows.length),
    }
    context.launch.train(
        __name__,
        job,
        context,
        parts=values.data_parallel,
        steps=steps,
        most_bytes=most_bytes_of(sum(path.stat().st_size for path in weights), values.keep_last),
    )
    adapter = () if values.adapt is None else (ADAPTER,)
    hand_over(context.work, context.out, (MODEL, METRICS, SEEN, *adapter))
    measured = json.loads((context.work / MEASURED).read_bytes())
    incidents = Incidents.read(context.work)
    if not incidents.skips:  # rows that made the loss leap are left out on purpose
        check_seen(context.out / SEEN, len(train_rows), measured["steps"])
    return StepResult(
        counts={
            "steps": measured["steps"],
            **_counts(measured["figures"]),
            **measured["finish"],
            **measured["adapter"],
            **incidents.counts(),
        },
        content=folder_digest(context.out / MODEL),
        summary=_summary(measured["steps"], measured["figures"]),
    )


def _rows_per_step(values: FinetuneSettings, length: int) -> int:
    rows = values.batch_tokens // length
    if rows < values.data_parallel:
        raise BadInput(
            f"finetune {values.name}: batch_tokens {values.batch_tokens} must be at least "
            f"data_parallel {values.data_parallel} times the longest row, {length} tokens"
        )
    return rows


def _measured_every(values: FinetuneSettings, an_epoch: float) -> int | None:
    """Steps between measurements for the best weights; None where the last ones are kept."""
    stopping = values.early_stopping
    return None if stopping is None else max(1, round(stopping.every * an_epoch))


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
    referred = [Path(one) for one in job["reference"]]
    setup = setup_of(values, Path(job["base"]), folder, *referred)
    device = devices.choose(job["device"])
    model = task.model(setup, device, devices.compute_type(values.precision, device))
    if values.adapt is not None:
        load("adapt", values.adapt.type).adapt(model, setup, task.reserves)
    plan = dataclasses.replace(values, optimizer=values.trained_by).plan(
        job,
        steps=job["steps"],
        tokens_per_step=job["rows_per_step"] * job["row_length"],
    )
    rows = {split: task.rows(setup, folder / split) for split in splits_in(folder)}

    def measure(*splits: str) -> dict[str, Mapping[str, float | None]]:
        return {name: task.measure(setup, model, rows[name]) for name in splits}

    if group.rank == 0 and not (work / BEFORE).exists():
        write_json(work / BEFORE, measure("validation"))
    source = Epochs(rows["train"], job["rows_per_step"], values.seed)
    best = _best(job, setup, model, rows["validation"], group, work)
    done = loop.train(model, source, task.objective(setup), plan, group, work, judge=best)
    ended = done == plan.steps or (best is not None and best.over(done))
    if ended and group.rank == 0:
        if best is not None:
            best.restore()
        finish = task.finish(setup, model, rows["validation"])
        adapter: Mapping[str, float] = {}
        if values.adapt is not None:
            some = rows["train"].read(np.arange(min(ADAPTER_ROWS, len(rows["train"]))))
            part = load("adapt", values.adapt.type)
            adapter = part.finish(model, values.adapt, some, empty_folder(work / ADAPTER))
        after = measure(*(split for split in rows if split != "train"))
        before = json.loads((work / BEFORE).read_bytes())
        figures = {"before": before, "after": after}
        notes = {"steps": done, "figures": figures, "finish": finish, "adapter": adapter}
        write_json(work / MEASURED, notes)
        task.save(setup, model, work / MODEL)
    return ended


def _best(
    job: Mapping[str, Any],
    setup: Setup,
    model: "nn.Module",
    held_out: Rows,
    group: "Group",
    work: Path,
) -> "Best | None":
    """What keeps the best weights; None where the last ones are kept, or nothing is held out."""
    from llm.training.finetune.best import Best

    task = task_of(job["values"]["task"])
    if job["measured_every"] is None or not len(held_out):
        return None

    def score() -> list[float]:
        found = task.measure(setup, model, held_out)
        loss = found["loss"]
        values = [] if task.chosen_by is None else [found[task.chosen_by]]
        values.append(None if loss is None else -loss)
        return [-math.inf if value is None else value for value in values]

    patience = setup.values.early_stopping.patience
    return Best(work, job["measured_every"], patience, score, model, group.rank == 0)


if __name__ == "__main__":
    from llm.training.ranks import rank

    sys.exit(rank.run(train, sys.argv[1:]))
