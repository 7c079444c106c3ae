"""How surprised a model is by the right answers to held-out questions.

Only what the assistant should say is scored, with the <|im_end|> that closes it: the same tokens
that fine-tuning learns from. The base model reads the same conversations, so the two compare.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from llm.durable import write_json
from llm.evaluation.answers_settings import MeasureAnswers
from llm.evaluation.perplexity import PRECISIONS
from llm.evaluation.scoring import score
from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Shard
from llm.models import folder as model_folder
from llm.step import Context, Inputs, StepResult
from llm.tokens.chat import encode_messages
from llm.training import devices
from llm.words import counted

LIBRARIES = ("torch", "tokenizers")


@dataclass(frozen=True)
class Conversation:
    """One held-out conversation: ids (n,), which of them are answers (n,), the answers' bytes."""

    ids: np.ndarray
    learn: np.ndarray
    answer_bytes: int


def measure(values: MeasureAnswers, inputs: Inputs, context: Context) -> StepResult:
    """Score the held-out answers: metrics.json.

    inputs: model (one artifact with model/), data (one with validation.arrow). Where nothing is
    held out the figures are null and a warning says so.
    """
    settings = values.settings
    path = inputs["data"][0] / "validation.arrow"
    model, tokenizer = model_folder.load(
        inputs["model"][0] / "model",
        devices.choose(context.machine.device),
        PRECISIONS[settings.precision],
    )
    conversations = read(path, tokenizer, settings.questions)
    length = model.config.context_length

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    nats = score(
        model,
        [conversation.ids for conversation in conversations],
        length,
        max(1, length // 2),
        progress=progress,
        wanted=[conversation.learn[1:] for conversation in conversations],
    )
    metrics = _totals(conversations, nats)
    metrics["protocol"] = (
        f"loss on the assistant's tokens (with the closing <|im_end|>) of {len(conversations)} "
        f"held-out conversations, each alone in the chat template; bytes are the UTF-8 bytes of the "
        f"answers; context of {length} tokens in windows {max(1, length // 2)} apart; "
        f"{settings.precision}"
    )
    write_json(context.out / "metrics.json", metrics)
    if not conversations:
        context.report.warning(
            "no conversation is held out: answers are not measured; more data, or a higher "
            "tokenize.validation.fraction, gives some"
        )
        return StepResult(counts={"questions": 0}, summary="no held-out question")
    return StepResult(
        counts={key: metrics[key] for key in ("questions", "nats_per_token", "bits_per_byte")},
        summary=f"{metrics['nats_per_token']:.3f} nats/token on {counted(len(conversations), 'answer')}",
    )


def read_messages(path: Path, limit: int) -> list[list[dict[str, str]]]:
    """The first conversations of an example shard. Raises BadInput for another file."""
    return [one.cells[0] for one in Shard.open(path).examples(CONVERSATIONS, limit)]


def read(path: Path, tokenizer: Tokenizer, limit: int) -> list[Conversation]:
    """The first conversations of an example shard, encoded in the chat template."""
    conversations = []
    for messages in read_messages(path, limit):
        ids, learn = encode_messages(tokenizer, messages)
        answers = [turn["content"].strip() for turn in messages if turn["role"] == "assistant"]
        conversations.append(
            Conversation(
                np.array(ids, dtype=np.int64),
                np.array(learn, dtype=bool),
                sum(len(answer.encode()) for answer in answers),
            )
        )
    return conversations


def _totals(conversations: Sequence[Conversation], nats: Sequence[np.ndarray]) -> dict[str, Any]:
    total, tokens = 0.0, 0
    for conversation, each in zip(conversations, nats, strict=True):
        total += float(each.sum())
        tokens += int(conversation.learn[1:].sum())
    size = sum(conversation.answer_bytes for conversation in conversations)
    return {
        "questions": len(conversations),
        "answer_tokens": tokens,
        "answer_bytes": size,
        "nats_per_token": total / tokens if tokens else None,
        "bits_per_byte": total / math.log(2) / size if size else None,
    }
