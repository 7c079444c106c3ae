"""What models write: prompts gone on with, and held-out questions answered beside the reference."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.durable import write_json
from llm.evaluation.section import Section, Text, Texts
from llm.evaluation.suite import BASE, Measure, Suite
from llm.examples.settings import CONVERSATIONS
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from llm.evaluation.result import Measured
    from llm.models.folder import Model

LIBRARIES = ("torch", "tokenizers")

FILE = "samples.json"
GAP = "___"  # in a prompt: what an encoder or encoder-decoder fills in


@section
class SampleSettings:
    """What models are asked to write for the report, and how it is drawn."""

    prompts: tuple[str, ...] = setting(
        default=("Return ", "The ", "If "),
        description="Beginnings for the base model to continue; an encoder and an encoder-decoder fill in ___, "
        "which stands at the end where the prompt has none.",
    )
    questions: tuple[str, ...] = setting(
        default=(), description="Questions asked of each fine-tuned model."
    )
    held_out_questions: int = setting(
        default=4,
        description="Held-out questions asked of each fine-tuned model (count): the first ones.",
        ge=0,
    )
    max_new_tokens: int = setting(
        default=80, description="Length of a sample, at most (tokens).", ge=1
    )
    temperature: float = setting(
        default=0.7,
        description="Randomness (no unit): 0 always takes the likeliest token, 1 the model's odds.",
        ge=0,
    )
    top_k: int | None = setting(
        default=50,
        description="How many of the likeliest tokens are drawn from (count); none: all.",
        ge=1,
    )
    seed: int = setting(default=0, description="Seed of the draws.", ge=0)


SUITE = Suite(
    says="text that the models write",
    settings=SampleSettings,
    models="each",
    tuned_inputs=("data",),
    architectures=("decoder", "encoder", "encoder_decoder"),
)


def measure(values: Measure[SampleSettings], inputs: Inputs, context: Context) -> StepResult:
    """Write samples.json, a list of {prompt, text, tokens, ended, ...}; there are no figures.

    inputs: model (an artifact with model/), and data for a tuned one (its task's held-out
    conversations). Of the base model, `text` goes on from `prompt`; of a tuned one it answers the
    question in `prompt`, with the right answer in `reference` where it is known. `ended`: the model
    stopped by itself.
    """
    from llm.evaluation.result import write

    settings, folder = values.settings, inputs["model"][0]
    if values.tasks:
        samples = _answers(settings, folder, inputs["data"][0], context)
    else:
        samples = _texts(settings, folder, context)
    protocol = (
        f"temperature {settings.temperature:g}, top-k {settings.top_k or 'off'}, seed {settings.seed}, "
        f"at most {settings.max_new_tokens} tokens; nothing is picked out"
    )
    write(context, "samples", (), (), protocol)
    write_json(context.out / FILE, samples)
    return StepResult(
        counts={"samples": len(samples)},
        content=digest_of([protocol, json.dumps(samples)]),
        summary=counted(len(samples), "sample"),
    )


def show(measured: "Measured") -> Iterator[Section]:
    """Every text, as it was written."""
    texts = [
        Text(
            model=model,
            prompt=one["prompt"],
            text=one["text"],
            ended=one["ended"],
            answers=model != BASE or GAP in one["prompt"],
            reference=one.get("reference"),
        )
        for model, result in measured.models.items()
        for one in json.loads((result.folder / FILE).read_text("utf8"))
    ]
    protocols = dict.fromkeys(result.protocol for result in measured.models.values())
    if texts:
        yield Section("Samples", "; ".join(protocols), parts=[Texts(texts)], wide=True)


def _texts(values: SampleSettings, artifact: Path, context: Context) -> list[dict[str, Any]]:
    """The base model's continuations, or what it fills in."""
    from llm.evaluation.filling import fill
    from llm.models.decoder import Decoder
    from llm.tokens.plain_text import encode_texts
    from llm.tokens.special import END_OF_TEXT

    if not values.prompts:
        return []
    model, tokenizer = _load(artifact, context)
    if not isinstance(model, Decoder):
        filled = fill(
            model,
            tokenizer,
            [one.split(GAP) if GAP in one else [one, ""] for one in values.prompts],
            values.temperature,
            values.top_k,
            values.seed,
            values.max_new_tokens,
        )
        asked = [one if GAP in one else one + GAP for one in values.prompts]
        pairs = zip(asked, filled, strict=True)
        return [{"prompt": prompt, **asdict(text)} for prompt, text in pairs]
    start = _id(tokenizer, END_OF_TEXT)
    encoded = encode_texts(tokenizer, values.prompts)
    samples = _write(model, tokenizer, [[start, *one.ids] for one in encoded], values)
    return [
        {"prompt": prompt, **sample} for prompt, sample in zip(values.prompts, samples, strict=True)
    ]


def _answers(
    values: SampleSettings, artifact: Path, data: Path, context: Context
) -> list[dict[str, Any]]:
    """A tuned model's answers to the recipe's questions and the first held-out ones."""
    from llm.examples.shards import Shard
    from llm.models.encoder_decoder import EncoderDecoder
    from llm.models.roles import start_of
    from llm.tokens.chat import encode_messages

    asked: list[tuple[list[dict[str, str]], dict[str, str]]] = [
        ([{"role": "user", "content": question}], {}) for question in values.questions
    ]
    held_out = Shard.open(data / "validation.arrow")
    rows = held_out.examples(CONVERSATIONS, values.held_out_questions)
    asked += [first_turn(one.cells[0]) for one in rows]
    if not asked:
        return []
    model, tokenizer = _load(artifact, context)
    questions = [encode_messages(tokenizer, messages, ask=True)[0] for messages, _ in asked]
    found = []
    start = None
    if isinstance(model, EncoderDecoder):
        start = start_of(artifact / "model", tokenizer, model.config.vocabulary)
        questions = [ids[-model.config.context_length :] for ids in questions]
    samples = _write(model, tokenizer, questions, values, start)
    for (messages, reference), sample in zip(asked, samples, strict=True):
        prompt = messages[-1]["content"].strip() if messages else ""
        found.append({"prompt": prompt, **sample, **reference})
    return found


def _load(artifact: Path, context: Context) -> "tuple[Model, Tokenizer]":
    from llm.models import folder as model_folder
    from llm.training import devices

    device = devices.choose(context.machine.device)
    model, tokenizer = model_folder.load_any(artifact / "model", device)
    return model, tokenizer


def _write(
    model: "Model",
    tokenizer: "Tokenizer",
    rows: Sequence[list[int]],
    settings: SampleSettings,
    start: int | None = None,
) -> list[dict[str, Any]]:
    """The text after each row's ids, how many tokens it has, and whether the model ended it.

    start: of an encoder-decoder, whose sources the rows are, what its texts start from.
    """
    from llm.models.encoder import Encoder
    from llm.models.generation import Request
    from llm.models.writing import TextRequest, write_all
    from llm.tokens.special import END_OF_TEXT, MESSAGE_END, MESSAGE_START

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
                start,
            ),
            skip_special=True,
        )
        for number, ids in enumerate(rows)
    ]
    assert not isinstance(model, Encoder), "an encoder writes nothing"
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


def _id(tokenizer: "Tokenizer", token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise BadInput(f"the model's tokenizer has no {token}")
    return int(found)
