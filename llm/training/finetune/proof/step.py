"""The prove step: before anything is trained, whether a task's rows are what its examples say.

Nine faults make fine-tuning fail in silence: the end of an answer is not learned, padding is learned, the
whole conversation is, truncation takes the answers, nothing is learned, neighbours in a row are seen or
tokens lost, the loss is divided wrongly, a text begins twice, the chat template gives other ids. The rows
are read as training reads them (`Rows.read`), and compared with the examples' text, with the
folder that the task will write, and with themselves cut up in other ways. A fault stops the run.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from llm.durable import empty_folder, write_bytes, write_json
from llm.examples.shards import Shard
from llm.step import BadInput, Context, Inputs, Reporter, StepResult, digest_of
from llm.training.finetune.ledger import Entries
from llm.training.finetune.prepare import setup_of, splits_in
from llm.training.finetune.proof.settings import PROVED, Proving
from llm.training.finetune.proof.split import Split
from llm.training.finetune.proof.told import Told
from llm.training.finetune.task import Setup, Task, task_of
from llm.training.work import MODEL
from llm.words import counted

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers", "jinja2")
SHOWN, LEFT_OUT, COUNTS = "shown.json", "left-out.jsonl", "proof.json"


def prove(values: Proving, inputs: Inputs, context: Context) -> StepResult:
    """Check the rows in `inputs["rows"]`, made of `inputs["data"]` for the model in `inputs["model"]`.

    Writes proof.json (counts by split), left-out.jsonl (file and line of each example that lost tokens) and
    shown.json (some rows, for the report). Raises BadInput naming file, line and row.
    """
    import numpy as np
    import torch

    from llm.training import devices
    from llm.training.finetune.proof.losses import Losses
    from llm.training.finetune.proof.members import members
    from llm.training.finetune.proof.shown import shown

    task = task_of(values.task.task)
    [artifact], [data], [rows] = inputs["model"], inputs["data"], inputs["rows"]
    setup = setup_of(values.task, artifact / MODEL, rows)
    folder = empty_folder(context.work / "folder")
    # A task may put units into its head as it saves it: that changes no sum by how rows are cut up.
    model = task.model(setup, devices.choose(context.machine.device), torch.float32)
    task.save(setup, model, folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    splits = _splits(values, task, setup, data, rows, folder)
    for split in splits:
        split.prove()
    [train, *_] = splits
    _check_left_out(train, values.proof.left_out)
    model.eval()
    # With fsdp each process would hold a share of the parameters: its sums are divided as ddp's are.
    way: Literal["auto", "ddp"] = "auto" if context.machine.parallelism == "auto" else "ddp"
    losses = Losses(model, task.objective(setup), train.rows, context.work / "loop", way)
    numbers = losses.choose(values.proof.rows)
    apart = losses.prove(numbers, train.wrong)
    found = shown(train, list(members(train.rows, np.sort(numbers), train.wrong)))
    counts = {split.name: split.counts for split in splits}
    _tell(counts, context.report)
    lines = (json.dumps(line) + "\n" for split in splits for line in split.left_out())
    write_bytes(context.out / LEFT_OUT, "".join(lines).encode())
    write_json(context.out / COUNTS, {"splits": counts, "apart": apart})
    write_json(context.out / SHOWN, {"rows": found})
    return StepResult(
        counts=counts,
        content=digest_of([PROVED, json.dumps(found), json.dumps(counts)]),
        parts={PROVED: digest_of([PROVED])},
        summary=_summary(train, task.writes),
    )


def _splits(
    values: Proving, task: Task, setup: Setup, data: Path, rows: Path, folder: Path
) -> list[Split]:
    told, claims = Told.of(folder), task.claims(setup, folder)
    return [
        Split(
            task=values.task.name,
            name=name,
            shard=Shard.open(data / f"{name}.arrow"),
            columns=task.columns(values.task),
            rows=task.rows(setup, rows / name),
            entries=Entries.read(rows / name),
            told=told,
            claims=claims,
            most=values.proof.examples,
        )
        for name in splits_in(rows)
    ]


def _check_left_out(train: Split, most: float) -> None:
    """Raise BadInput where truncation, or a flag, leaves too little to learn."""
    import numpy as np

    left_out, examples = train.counts["left_out"], train.counts["examples"]
    if left_out > most * (left_out + examples):
        first = int(np.flatnonzero(train.entries.kept == 0)[0])
        place = train.place(int(train.entries.origin[first]))
        raise BadInput(
            f"finetune {train.task}: {left_out:,} of {left_out + examples:,} examples have nothing to learn within "
            f"the model's context, the first in {place} ({train.entries.given[first]:,} "
            "tokens). Shorten them, take a model with a longer context, or raise proof.left_out"
        )


def _tell(counts: Mapping[str, Mapping[str, int]], report: Reporter) -> None:
    """Where every token went, for the run's page; what a reader of the folder would read otherwise."""
    told = "tokens = trained + masked + dropped; cut and left out are examples"
    names = ("rows", "examples", "tokens", "trained", "masked", "dropped", "cut", "left_out")
    rows = [
        {"split": split, **{name: one[name] for name in names}} for split, one in counts.items()
    ]
    report.table("proof", rows, told)
    spelled = sum(one["spelled"] for one in counts.values())
    if spelled:
        report.warning(
            f"{counted(spelled, 'example')} with special tokens, such as <|im_end|>, in their text: they stay text "
            "here, and transformers' apply_chat_template reads them as the tokens"
        )
    merged = sum(one["merged"] for one in counts.values())
    if merged:
        report.warning(
            f"{counted(merged, 'answer')} beginning in one token with the line end before: asked a question, the "
            "model goes on from that line end and has not learned these beginnings. A tokenizer of type bpe has no "
            "such tokens"
        )


def _summary(train: Split, writes: bool) -> str:
    counts = train.counts
    found = f"{counted(counts['rows'], 'row')} as they should be: "
    if not writes:
        found += f"{counted(counts['examples'], 'text')}, "
    else:
        found += f"{counts['trained']:,} tokens trained, "
    return found + f"{counts['masked']:,} read, {counts['dropped']:,} dropped"
