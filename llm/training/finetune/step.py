"""The finetune step: a base model and conversations in, a model that answers out.

The same loop, launcher and checkpoints as pretraining; only the rows differ, and the loss, which
counts the answers alone.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from llm.durable import file_digest, write_json
from llm.examples.shards import SPLITS, Shard
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.chat import CHAT_TEMPLATE
from llm.tokens.special import PADDING, id_count, special_ids
from llm.training.finetune.instruct import encode
from llm.training.finetune.packed import Epochs, Files, Packed, write
from llm.training.finetune.settings import FinetuneSettings
from llm.training.incidents import Incidents
from llm.training.optimizer import OptimizerSettings
from llm.training.plan import Plan
from llm.training.room import most_bytes_of
from llm.training.work import METRICS, MODEL, SEEN, folder_digest, hand_over
from llm.words import counted

if TYPE_CHECKING:
    from llm.models.decoder import Decoder
    from llm.training.ranks import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors", "tokenizers")
MEASURED = {"before": "validation-before.json", "after": "validation-after.json"}


def finetune(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Tune the model in `inputs["model"]` on train.arrow and validation.arrow of `inputs["data"]`.

    Writes model/, metrics.jsonl and seen.jsonl. Raises BadInput, TrainingError.
    """
    [base], [data] = inputs["model"], inputs["data"]
    folder = base / MODEL
    context_length = _context_length(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows_per_step = _rows_per_step(values, context_length)
    counts = _prepare(values, data, tokenizer, context_length, context)
    steps = values.steps or math.ceil(values.epochs * counts["train"]["rows"] / rows_per_step)
    weights = [file_digest(path) for path in sorted(folder.glob("*.safetensors"))]
    files = [Files.of(context.work, split) for split in SPLITS]
    rows = [file_digest(path) for each in files for path in (each.tokens, each.plan)]
    job = {
        "values": dataclasses.asdict(values),
        "base": str(folder.resolve()),
        "steps": steps,
        "rows_per_step": rows_per_step,
        "identity": digest_of([repr(_deciding(values)), *weights, *rows]),
        **context.launch.how(context.machine, context_length),
    }
    weights_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    context.launch.train(
        __name__,
        job,
        context,
        parts=values.data_parallel,
        steps=steps,
        most_bytes=most_bytes_of(weights_bytes, Plan.keep_last),
    )
    hand_over(context.work, context.out, (MODEL, METRICS, SEEN))
    losses = {when: _measured(context.work, when) for when in MEASURED}
    return StepResult(
        counts={
            **counts,
            "steps": steps,
            "validation_loss": losses,
            **Incidents.read(context.work).counts(),
        },
        content=folder_digest(context.out / MODEL),
        summary=_summary(counts, steps, losses),
    )


def _deciding(values: FinetuneSettings) -> FinetuneSettings:
    """The settings without what the task is called and how often a checkpoint is written."""
    return dataclasses.replace(values, name="task", checkpoint_every=1)


def _context_length(folder: Path) -> int:
    """Positions of the model, whatever layout its folder has."""
    from llm.models.folder import read_config  # imports torch

    return read_config(folder).context_length


def _rows_per_step(values: FinetuneSettings, context_length: int) -> int:
    rows = values.batch_tokens // context_length
    if rows < values.data_parallel:
        raise BadInput(
            f"finetune {values.name}: batch_tokens {values.batch_tokens} must be at least "
            f"data_parallel {values.data_parallel} times the model's context of {context_length}"
        )
    return rows


def _prepare(
    values: FinetuneSettings,
    data: Path,
    tokenizer: Tokenizer,
    context_length: int,
    context: Context,
) -> dict[str, Any]:
    """Encode and pack both splits into the work folder; counts for the manifest."""
    counts: dict[str, Any] = {}
    for split in SPLITS:
        packed = write(
            Files.of(context.work, split),
            encode(Shard.open(data / f"{split}.arrow"), tokenizer),
            context_length,
            id_count(tokenizer),
        )
        if split == "train" and not packed.examples:
            raise BadInput(
                f"finetune {values.name}: no conversation in {data / 'train.arrow'} has an answer "
                f"within the model's context of {context_length} tokens"
            )
        if packed.too_long:
            context.report.warning(
                f"{counted(packed.too_long, 'conversation')} for {split} longer than "
                f"{context_length:,} tokens: cut at the end"
            )
        counts[split] = dataclasses.asdict(packed)
    return counts


def _measured(work: Path, when: str) -> float | None:
    loss = json.loads((work / MEASURED[when]).read_bytes())["loss"]
    return None if loss is None else round(loss, 4)


def _summary(counts: dict[str, Any], steps: int, losses: dict[str, float | None]) -> str:
    text = f"{counted(counts['train']['examples'], 'example')}, {counted(steps, 'step')}"
    if losses["before"] is None:
        return f"{text}, none held out"
    return f"{text}, answer loss {losses['before']:.3f} to {losses['after']:.3f}"


def learning_rate(values: FinetuneSettings, step: int, steps: int) -> float:
    """The rate of step `step` (from 0) of `steps`: up over the warm-up, then straight to zero."""
    warmup = round(values.warmup_fraction * steps)
    if step < warmup:
        return values.peak_lr * (step + 1) / warmup
    return values.peak_lr * (steps - step) / max(1, steps - warmup)


def settings_from(values: dict[str, Any]) -> FinetuneSettings:
    """The settings as they were before they were written as JSON."""
    optimizer = values["optimizer"]
    optimizer = OptimizerSettings(**{**optimizer, "betas": tuple(optimizer["betas"])})
    return FinetuneSettings(**{**values, "optimizer": optimizer})


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.models.folder import load_decoder, save
    from llm.training import devices, loop
    from llm.training.objectives.next_token import NextToken

    values = settings_from(job["values"])
    device = devices.choose(job["device"])
    base = Path(job["base"])
    model = load_decoder(base, device, devices.compute_type(values.precision, device))
    tokenizer = base / "tokenizer.json"
    [padding] = special_ids(Tokenizer.from_file(str(tokenizer)), [PADDING]).values()
    plan = Plan(
        steps=job["steps"],
        tokens_per_step=job["rows_per_step"] * model.config.context_length,
        parts=values.data_parallel,
        learning_rate=lambda step: learning_rate(values, step, job["steps"]),
        optimizer=values.optimizer,
        seed=values.seed,
        identity=job["identity"],
        clip=values.clip,
        micro_batch=job["micro_batch"],
        parallelism=job["parallelism"],
        compiled=job["compiled"],
        checkpoint_every=values.checkpoint_every,
    )
    train_rows, held_out = (
        Packed(Files.of(work, split), model.config.context_length, padding) for split in SPLITS
    )
    rows = Epochs(train_rows, job["rows_per_step"], values.seed)
    if group.rank == 0:
        measure(model, held_out, values.validation_rows, work / MEASURED["before"])
    done = loop.train(model, rows, NextToken(), plan, group, work)
    if done == plan.steps and group.rank == 0:
        measure(model, held_out, values.validation_rows, work / MEASURED["after"])
        save(model, work / MODEL, tokenizer, CHAT_TEMPLATE)
    return done == plan.steps


def measure(model: "Decoder", held_out: Packed, rows: int, path: Path) -> None:
    """Write the mean nats per answer token of the first `rows` held-out rows; null for none."""
    nats, answers = 0.0, 0
    device = model.embedding.device
    for row in range(min(rows, len(held_out))):
        found = held_out.read(np.array([row]))
        tensors = found.tensors(slice(None), device)
        nats += float(model.token_losses(**tensors).double().sum())
        answers += int(found.learned.sum())
    write_json(path, {"loss": nats / answers if answers else None, "answer_tokens": answers})


if __name__ == "__main__":
    from llm.training import ranks

    sys.exit(ranks.run(train, sys.argv[1:]))
