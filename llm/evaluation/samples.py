"""What models write: prompts gone on with, and held-out questions answered beside the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llm.durable import write_json
from llm.evaluation.answers import read_messages
from llm.evaluation.samples_settings import SampleSettings
from llm.models import folder as model_folder
from llm.models.decoder import Decoder
from llm.models.generation import Request
from llm.models.writing import TextRequest, write_all
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens.chat import encode_messages
from llm.tokens.plain_text import encode_texts
from llm.tokens.special import (
    END_OF_TEXT,
    MESSAGE_END,
    MESSAGE_START,
)
from llm.training import devices
from llm.words import counted

LIBRARIES = ("torch", "tokenizers")


def generate(values: SampleSettings, inputs: Inputs, context: Context) -> StepResult:
    """Write samples.json: {"samples": [{model, prompt, text, tokens, ended, ...}], "protocol"}.

    inputs: model (the base, an artifact with model/), tuned (any number of them) and data (one for
    each tuned, with validation.arrow; may be left out). model is "base", or "tuned 1" and so on in
    the order of the inputs. Of the base, `text` goes on from `prompt`; of the tuned it answers the
    question in `prompt`, with the right answer in `reference` where it is known. `ended`: the model
    stopped by itself.
    """
    tuned, data = list(inputs.get("tuned", ())), list(inputs.get("data", ()))
    if data and len(data) != len(tuned):
        raise ValueError(f"{len(data)} sets of questions for {len(tuned)} fine-tuned models")
    total = 1 + len(tuned)
    context.report.progress(0, total, "models")
    samples = _texts(values, inputs["model"][0], context)
    for number, folder in enumerate(tuned, start=1):
        context.report.progress(number, total, "models")
        questions = data[number - 1] if data else None
        samples += _answers(values, f"tuned {number}", folder, questions, context)
    context.report.progress(total, total, "models")
    protocol = (
        f"temperature {values.temperature:g}, top-k {values.top_k or 'off'}, seed {values.seed}, at "
        f"most {values.max_new_tokens} tokens; nothing is picked out"
    )
    write_json(context.out / "samples.json", {"samples": samples, "protocol": protocol})
    return StepResult(counts={"samples": len(samples)}, summary=counted(len(samples), "sample"))


def _texts(values: SampleSettings, artifact: Path, context: Context) -> list[dict[str, Any]]:
    """The base model's continuations."""
    if not values.prompts:
        return []
    model, tokenizer = _load(artifact, context)
    start = _id(tokenizer, END_OF_TEXT)
    encoded = encode_texts(tokenizer, values.prompts)
    samples = _write(model, tokenizer, [[start, *one.ids] for one in encoded], values)
    return [
        {"model": "base", "prompt": prompt, **sample}
        for prompt, sample in zip(values.prompts, samples, strict=True)
    ]


def _answers(
    values: SampleSettings, name: str, artifact: Path, data: Path | None, context: Context
) -> list[dict[str, Any]]:
    """A tuned model's answers to the recipe's questions and the first held-out ones."""
    asked: list[tuple[list[dict[str, str]], dict[str, str]]] = [
        ([{"role": "user", "content": question}], {}) for question in values.questions
    ]
    if data is not None:
        path = data / "validation.arrow"
        asked += [first_turn(one) for one in read_messages(path, values.held_out_questions)]
    if not asked:
        return []
    model, tokenizer = _load(artifact, context)
    questions = [encode_messages(tokenizer, messages, ask=True)[0] for messages, _ in asked]
    found = []
    samples = _write(model, tokenizer, questions, values)
    for (messages, reference), sample in zip(asked, samples, strict=True):
        prompt = messages[-1]["content"].strip() if messages else ""
        found.append({"model": name, "prompt": prompt, **sample, **reference})
    return found


def _load(artifact: Path, context: Context) -> tuple[Decoder, Tokenizer]:
    device = devices.choose(context.machine.device)
    model, tokenizer = model_folder.load(artifact / "model", device)
    return model, tokenizer


def _write(
    model: Decoder, tokenizer: Tokenizer, rows: Sequence[list[int]], settings: SampleSettings
) -> list[dict[str, Any]]:
    """The text after each row's ids, how many tokens it has, and whether the model ended it."""
    ends = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)
    # A vocabulary that reserves no tokens for chat has the first alone.
    stops = [number for token in ends if (number := tokenizer.token_to_id(token)) is not None]
    wanted = [
        TextRequest(
            Request(
                ids,
                settings.max_new_tokens,
                settings.temperature,
                settings.top_k,
                settings.seed + number,
                stops,
            ),
            skip_special=True,
        )
        for number, ids in enumerate(rows)
    ]
    return [asdict(text) for text in write_all(model, tokenizer, wanted)]


def first_turn(
    messages: Sequence[Mapping[str, str]],
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The messages up to the first answer to a user, and {"reference": that answer}.

    In a conversation without a user, the assistant's first words are what it says to nothing.
    """
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    for at in range(users[0] if users else 0, len(messages)):
        if messages[at]["role"] == "assistant":
            asked = [dict(message) for message in messages[:at]]
            return asked, {"reference": messages[at]["content"].strip()}
    raise BadInput(f"a held-out conversation has no answer of the assistant: {messages!r:.200}")


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise BadInput(f"the model's tokenizer has no {token}")
    return int(found)
