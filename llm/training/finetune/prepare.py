"""The rows step: a task's examples, encoded for its base model as training reads them.

A step of its own, so that what a model learns from can be checked, shown and kept before anything is
trained, and another learning rate encodes nothing again.
"""

import json
from pathlib import Path

from llm.durable import empty_folder, file_digest, write_json
from llm.examples.shards import SPLITS
from llm.step import Context, Inputs, StepResult, digest_of
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import Base, Setup, task_of
from llm.training.work import MODEL
from llm.words import counted

LIBRARIES = ("numpy", "tokenizers")
FACTS = "facts.json"


def prepare(values: FinetuneSettings, inputs: Inputs, context: Context) -> StepResult:
    """Encode each split of `inputs["data"]` for the model in `inputs["model"]`.

    Writes a folder of the task's own for each split, and facts.json. Raises BadInput.
    """
    task = task_of(values.task)
    [artifact], [data] = inputs["model"], inputs["data"]
    base = base_of(artifact / MODEL)
    shards = {split: data / f"{split}.arrow" for split in SPLITS}
    facts = dict(task.facts(values, shards["train"], base))
    write_json(context.out / FACTS, facts)
    setup = Setup(values, base, facts)
    counts = {
        split: task.prepare(setup, split, shard, empty_folder(context.out / split), context.report)
        for split, shard in shards.items()
        if shard.is_file()
    }
    files = sorted(path for path in context.out.rglob("*") if path.is_file())
    return StepResult(
        counts=counts,
        content=digest_of(
            text
            for path in files
            for text in (str(path.relative_to(context.out)), file_digest(path))
        ),
        summary=f"{counted(counts['train']['examples'], 'example')} in "
        f"{counted(counts['train']['rows'], 'row')} for training",
    )


def base_of(folder: Path) -> Base:
    """The base model, whatever layout its folder has."""
    from llm.models.folder import read_config  # imports torch

    return Base(folder, read_config(folder))


def setup_of(
    values: FinetuneSettings, base: Path, rows: Path, reference: Path | None = None
) -> Setup:
    """What the task was asked about when the artifact `rows` was made. base: a model folder."""
    return Setup(values, base_of(base), json.loads((rows / FACTS).read_bytes()), reference)


def splits_in(rows: Path) -> tuple[str, ...]:
    """The splits that the artifact `rows` has."""
    return tuple(split for split in SPLITS if (rows / split).is_dir())
