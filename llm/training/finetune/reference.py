"""The reference step: what the base model makes of each pair of answers, before a model is moved from it.

A step of its own, between the rows and the training: another beta or learning rate measures nothing again,
and training holds one model in memory, not two.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.durable import empty_folder, file_digest
from llm.step import Context, Inputs, StepResult, digest_of
from llm.training.finetune.preferences import REFERENCE
from llm.training.finetune.prepare import setup_of, splits_in
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import task_of
from llm.training.work import MODEL
from llm.words import counted

if TYPE_CHECKING:
    from llm.models.decoder import Decoder
    from llm.training.finetune.preferences import PreferenceRows

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers")
ROWS = 8  # of one pass

Array = np.ndarray[Any, np.dtype[np.float32]]


def refer(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Measure -ln p of both answers of each pair of `inputs["rows"]` by the model in `inputs["model"]`.

    Writes SPLIT/reference.npy, (pairs, 2) float32 in the order of the pairs: chosen, rejected. In float32
    whatever training is to compute in.
    """
    from llm.models.folder import load_decoder
    from llm.training import devices

    [artifact], [folder] = inputs["model"], inputs["rows"]
    setup, task = setup_of(values, artifact / MODEL, folder), task_of(values.task)
    model = load_decoder(setup.base.folder, devices.choose(context.machine.device))
    splits = {split: task.rows(setup, folder / split) for split in splits_in(folder)}
    total = sum(len(rows) for rows in splits.values())
    counts: dict[str, int] = {}
    digests: list[str] = []
    done = 0
    for split, rows in splits.items():
        found = np.zeros((len(rows.pairs), 2), np.float32)  # type: ignore[attr-defined]
        for pairs, nats, _ in measured(model, rows):  # type: ignore[arg-type]
            found[pairs] = nats
            done += ROWS
            context.report.progress(min(done, total), total, "rows")
        path = empty_folder(context.out / split) / REFERENCE
        np.save(path, found)
        counts[split] = len(found)
        digests.append(file_digest(path))
    return StepResult(
        counts={"pairs": counts},
        content=digest_of(digests),
        summary=f"{counted(sum(counts.values()), 'pair')} of answers measured",
    )


def measured(model: "Decoder", rows: "PreferenceRows") -> Iterator[tuple[Array, Array, Array]]:
    """Numbers of the pairs of some rows, (n,), -ln p of their answers, (n, 2), and the reference's, (n, 2)."""
    import torch

    from llm.training.objectives.preference import answer_nats

    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for first in range(0, len(rows), ROWS):
        numbers = np.arange(first, min(first + ROWS, len(rows)))
        batch = rows.read(numbers)
        with torch.no_grad():
            nats = answer_nats(model, batch.tensors(slice(None), device)).cpu().numpy()
        reference = batch["reference"]
        there = ~np.isnan(reference[..., 0])
        pairs = np.concatenate([rows.pairs_of(number) for number in numbers.tolist()])
        yield pairs, nats[there], reference[there]
    model.train(was_training)
