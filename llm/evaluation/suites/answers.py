"""How surprised a model is by the right answers to held-out questions, and whether its own end.

Only what the assistant should say is scored, with the <|im_end|> that closes it: the same tokens
that fine-tuning learns from. The base model reads the conversations of every task, so that each tuned
model compares with it. A model that was taught to chat answers some of the questions itself.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.evaluation.section import Bar, Bars, Card, Section, Table
from llm.evaluation.suite import BASE, BITS_PER_BYTE, Kind, Measure, Suite
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult, digest_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from tokenizers import Tokenizer

    from llm.evaluation.result import Measured, Part
    from llm.models.decoder import Decoder
    from llm.models.encoder_decoder import EncoderDecoder

LIBRARIES = ("torch", "tokenizers")


@section
class AnswerSettings:
    """How held-out answers are scored."""

    questions: int = setting(
        default=1_000, description="Held-out conversations, at most (count): the first ones.", ge=1
    )
    stops: int = setting(
        default=100,
        description="Held-out questions of each task that a model which was taught to chat answers itself, to see "
        "whether it stops (count): the first ones.",
        ge=0,
    )
    max_new_tokens: int = setting(
        default=256, description="Within how many tokens an answer is to stop (tokens).", ge=2
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


SUITE = Suite(
    says="loss on held-out answers of each task, and the share of the model's own that stop",
    settings=AnswerSettings,
    models="each",
    inputs=("data",),
    architectures=("decoder", "encoder_decoder"),
    figures=(
        Kind("nats_per_token", "nats per token", "lower"),
        BITS_PER_BYTE,
        Kind("stops", "share that stops", "higher"),
    ),
    groups="task",
)


@dataclass(frozen=True)
class Conversation:
    """One held-out conversation of a task: ids (n,), which of them are answers (n,), the answers' bytes."""

    name: str
    task: str
    ids: "np.ndarray"
    learn: "np.ndarray"
    answer_bytes: int

    @property
    def asked(self) -> list[int]:
        """What stands before the first answer, with the opening of it."""
        found: list[int] = self.ids[: int(self.learn.argmax())].tolist()
        return found


def measure(values: Measure[AnswerSettings], inputs: Inputs, context: Context) -> StepResult:
    """Score the held-out answers, and see which of the model's own stop; an item is a conversation, its
    group the task.

    inputs: model (one artifact with model/), data (held-out conversations of each of values.tasks). Where
    nothing is held out there are no figures and a warning says so. Raises BadInput for a line that is no
    conversation.
    """
    from llm.evaluation.result import write
    from llm.evaluation.scoring import PRECISIONS
    from llm.evaluation.stopping import chats, stops
    from llm.models import folder as model_folder
    from llm.models.decoder import Decoder
    from llm.models.encoder_decoder import EncoderDecoder
    from llm.models.roles import start_of
    from llm.training import devices

    settings = values.settings
    folder = inputs["model"][0] / "model"
    device = devices.choose(context.machine.device)
    model, tokenizer = model_folder.load_any(folder, device, PRECISIONS[settings.precision])
    found = [
        one
        for task, data in zip(values.tasks, inputs["data"], strict=True)
        for one in read(data, task, tokenizer, settings.questions)
    ]
    start = None
    if isinstance(model, EncoderDecoder):
        start = start_of(folder, tokenizer, model.config.vocabulary)
        nats, tokens, read_how = _by_targets(model, start, found)
    else:
        assert isinstance(model, Decoder), "an encoder answers nothing"
        nats, tokens, read_how = _in_windows(model, found, context)
    if not found:
        context.report.warning(
            "no conversation is held out: answers are not measured; more data, or a higher "
            "tokenize.validation.fraction, gives some"
        )
    protocol = (
        f"loss on the assistant's tokens (with the closing <|im_end|>) of {len(found)} held-out "
        f"conversations, each alone in the chat template; bytes are the UTF-8 bytes of the answers; "
        f"{read_how}; {settings.precision}"
    )
    asked: Sequence[Conversation] = ()
    if chats(folder):
        each = ([one for one in found if one.task == task] for task in values.tasks)
        asked = [one for group in each for one in group[: settings.stops]]
    most = settings.max_new_tokens
    stopped = stops(model, tokenizer, folder, [one.asked for one in asked], most, start)
    if asked:
        protocol += (
            f"; of {len(asked)} questions, whether the likeliest answer stops within {most} tokens"
        )
    tables = [*_of_losses(found, nats, tokens), _of_stops(asked, stopped)]
    result = write(context, "answers", SUITE.figures, tables, protocol, "answer")
    share = f", {sum(stopped) / len(asked):.0%} of its own stop" if asked else ""
    return dataclasses.replace(result, summary=result.summary + share)


def _of_losses(
    found: "Sequence[Conversation]", nats: Sequence[float], tokens: Sequence[float]
) -> "list[pa.Table]":
    from llm.evaluation.result import rows

    names, tasks = [one.name for one in found], [one.task for one in found]
    bits, sizes = [one / math.log(2) for one in nats], [one.answer_bytes for one in found]
    return [
        rows("nats_per_token", names, tasks, nats, tokens),
        rows("bits_per_byte", names, tasks, bits, sizes),
    ]


def _of_stops(asked: "Sequence[Conversation]", stopped: Sequence[bool]) -> "pa.Table":
    from llm.evaluation.result import rows

    names, tasks = [one.name for one in asked], [one.task for one in asked]
    return rows("stops", names, tasks, list(map(float, stopped)), [1.0] * len(asked))


Scored = tuple[list[float], list[float], str]
"""Nats and tokens of each conversation's answers, and how they were read, for the protocol."""


def _in_windows(model: "Decoder", found: "Sequence[Conversation]", context: Context) -> Scored:
    """Each conversation as one text, in windows."""
    from llm.evaluation.scoring import score

    length = model.config.context_length
    stride = max(1, length // 2)

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    scored = score(
        model,
        [one.ids for one in found],
        length,
        stride,
        progress=progress,
        wanted=[one.learn[1:] for one in found],
    )
    nats = [float(each.sum()) for each in scored]
    tokens = [float(one.learn[1:].sum()) for one in found]
    return nats, tokens, f"context of {length} tokens in windows {stride} apart"


def _by_targets(model: "EncoderDecoder", start: int, found: "Sequence[Conversation]") -> Scored:
    """Each answer as a target, whose source is what stands before it."""
    from llm.examples.in_chat import turns
    from llm.training.finetune.pair_losses import pair_losses

    limit = model.config.context_length
    owners, pairs = [], []
    for number, one in enumerate(found):
        ids = one.ids.tolist()
        for begin, end in turns(one.learn.tolist()):
            owners.append(number)
            pairs.append((ids[:begin][-limit:], ids[begin:end][:limit]))
    nats, tokens = [0.0] * len(found), [0.0] * len(found)
    for number, lost, count in zip(owners, *pair_losses(model, start, pairs), strict=True):
        nats[number] += lost
        tokens[number] += count
    return nats, tokens, f"each answer behind the last {limit} tokens before it"


def read(folder: Path, task: str, tokenizer: "Tokenizer", limit: int) -> list[Conversation]:
    """The first held-out conversations of a task's data, encoded in the chat template.

    Each is named by its content, and by how often it came before. Raises BadInput naming file and line.
    """
    import numpy as np

    from llm.examples.in_chat import in_chat
    from llm.examples.shards import Shard

    conversations = []
    seen: dict[str, int] = {}
    held_out = in_chat(Shard.open(folder / "validation.arrow"), tokenizer)
    for example, ids, learn in itertools.islice(held_out, limit):
        messages = example.cells[0]
        name = _name(messages)
        seen[name] = seen.get(name, 0) + 1
        answers = [turn["content"].strip() for turn in messages if turn["role"] == "assistant"]
        conversations.append(
            Conversation(
                name if seen[name] == 1 else f"{name}-{seen[name]}",
                task,
                np.array(ids, dtype=np.int64),
                np.array(learn, dtype=bool),
                sum(len(answer.encode()) for answer in answers),
            )
        )
    return conversations


def _name(messages: Sequence[dict[str, str]]) -> str:
    return digest_of([json.dumps(list(messages), sort_keys=True)])[:32]


def show(measured: "Measured") -> Iterator[Section]:
    """For each task the base model beside the tuned one."""
    tuned = {name: result for name, result in measured.models.items() if name != BASE}
    for task, result in tuned.items():
        own = {figure: one.groups[task] for figure, one in result.figures.items()}
        if not own:
            yield Section(f"Answers: {task}", "No question is held out.")
            continue
        both = {"base model": _of_base(measured, task), task: own}
        yield _beside(task, {label: found for label, found in both.items() if found})


def _of_base(measured: "Measured", task: str) -> dict[str, Any]:
    base = measured.models.get(BASE)
    figures = {} if base is None else base.figures
    return {name: one.groups[task] for name, one in figures.items() if task in one.groups}


def _beside(task: str, models: Mapping[str, Mapping[str, "Part"]]) -> Section:
    bars = [
        Bar(
            label,
            found["nats_per_token"].value,
            f"{found['nats_per_token'].value:.3f}",
            "ours" if label == task else "plain",
        )
        for label, found in models.items()
    ]
    words = ", ".join(f"{bar.name} {bar.text}" for bar in bars)
    cells = [
        [
            label,
            f"{found['nats_per_token'].value:.3f}",
            "" if (spread := found["nats_per_token"].spread) is None else f"± {spread:.3f}",
            f"{found['bits_per_byte'].value:.3f}" if "bits_per_byte" in found else "",
            f"{found['stops'].value:.0%}" if "stops" in found else "",
            f"{found['nats_per_token'].items:,}",
        ]
        for label, found in models.items()
    ]
    header = ["", "nats per token", "95 % interval", "bits per byte", "stops", "questions"]
    return Section(
        f"Answers: {task}",
        "Held-out questions: only the answers count. Lower is better. Stops: the share of the model's own "
        "answers that it ends by itself.",
        parts=[
            Bars(bars, "nats per answer token", f"Answer loss: {words}"),
            Table(header, cells, [number for number, bar in enumerate(bars) if bar.name == task]),
        ],
        cards=[
            Card(f"{models[task]['nats_per_token'].value:.2f}", f"nats per answer token, {task}")
        ],
    )
