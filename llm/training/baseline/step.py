"""The baseline step: an LSTM or a CNN trained on the token shards, by the loop that trains decoders.

As in pretrain, torchrun has every rank call this module's `train`, and only ranks import torch.
"""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from llm.durable import file_digest
from llm.models.baselines.config import ARCHITECTURES, LSTMConfig
from llm.settings import restored
from llm.step import Context, Inputs, StepResult, digest_of
from llm.tokens.batches import Batches
from llm.tokens.special import id_count
from llm.training.baseline.settings import BudgetSettings, CNNBaseline, LSTMBaseline
from llm.training.pretrain.data import Windows
from llm.training.work import METRICS, MODEL, folder_digest, hand_over, last_line
from llm.words import counted

if TYPE_CHECKING:
    from llm.training.ranks.rank import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors")


def train_baseline(
    values: LSTMBaseline | CNNBaseline, inputs: Inputs, context: Context
) -> StepResult:
    """Train on `inputs["tokens"]` (tokenize artifacts) with `inputs["tokenizer"]`'s vocabulary.

    Writes model/ and metrics.jsonl. Raises BadInput, TrainingError.
    """
    budget = values.training
    job = prepare(values, inputs, context)
    context.launch.train(__name__, job, context, parts=budget.data_parallel, steps=budget.steps)
    hand_over(context.work, context.out, (MODEL, METRICS))
    tokens = budget.steps * budget.batch_tokens
    loss = last_line(context.out / METRICS)["loss"]
    return StepResult(
        counts={"steps": budget.steps, "tokens": tokens, "loss": round(loss, 4)},
        content=folder_digest(context.out / MODEL),
        summary=f"{counted(tokens, 'token')} in {counted(budget.steps, 'step')}, loss {loss:.3f}",
    )


def prepare(values: LSTMBaseline | CNNBaseline, inputs: Inputs, context: Context) -> dict[str, Any]:
    """The job for the ranks, JSON. Raises BadInput where the shards hold less than a row."""
    budget = values.training
    tokenizer = Tokenizer.from_file(str(inputs["tokenizer"][0] / "tokenizer.json"))
    config = values.model.resolve(id_count(tokenizer))
    shards = [folder / "train.arrow" for folder in inputs["tokens"]]
    Batches(shards, budget.context_length, budget.batch_rows, budget.seed)
    return {
        "architecture": "lstm" if isinstance(config, LSTMConfig) else "cnn",
        "config": dataclasses.asdict(config),
        "budget": dataclasses.asdict(budget),
        "shards": [str(path.resolve()) for path in shards],
        "identity": digest_of([repr(values), repr(config), *map(file_digest, shards)]),
        **context.launch.how(context.machine, budget.context_length),
    }


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.models.baselines.folder import build, save
    from llm.training import devices, loop
    from llm.training.objectives.next_token import NextToken

    budget = restored(BudgetSettings, job["budget"])
    config = ARCHITECTURES[job["architecture"]](**job["config"])
    device = devices.choose(job["device"])
    model = build(config, devices.compute_type(budget.precision, device))
    if group.rank == 0:  # the others get its weights by sharing them
        model.initialise(budget.seed)
    shards = [Path(path) for path in job["shards"]]
    data = Batches(shards, budget.context_length, budget.batch_rows, budget.seed)
    plan = budget.plan(job, steps=budget.steps, tokens_per_step=budget.batch_tokens)
    done = loop.train(model.to(device), Windows(data), NextToken(), plan, group, work)
    if done == plan.steps and group.rank == 0:
        save(model, work / MODEL)
    return done == plan.steps


if __name__ == "__main__":
    from llm.training.ranks import rank

    sys.exit(rank.run(train, sys.argv[1:]))
