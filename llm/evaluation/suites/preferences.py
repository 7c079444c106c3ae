"""How often a model finds the answer that was chosen likelier than the one that was rejected."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from llm.evaluation.section import Bar, Bars, Card, Section
from llm.evaluation.shown import figures_table, protocol_note
from llm.evaluation.suite import BASE, Kind, Measure, Suite
from llm.examples.settings import PREFERENCES
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    import numpy as np

    from llm.evaluation.result import Measured
    from llm.examples.in_chat import InChat
    from llm.models.decoder import Decoder

LIBRARIES = ("torch", "tokenizers")


@section
class PreferenceSettings:
    """How preferences are measured."""

    pairs: int = setting(
        default=5_000,
        description="Held-out pairs of each task, at most (count): the first ones.",
        ge=1,
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


SUITE = Suite(
    says="how often the chosen of two held-out answers is the likelier, of each prefer task",
    settings=PreferenceSettings,
    models="each",
    inputs=("data",),
    columns=PREFERENCES,
    figures=(
        Kind("accuracy", "share of pairs", "higher"),
        Kind("accuracy_by_token", "share of pairs", "higher"),
        Kind("chosen_nats_per_token", "nats per token", "lower"),
    ),
    groups="task",
)


def measure(values: Measure[PreferenceSettings], inputs: Inputs, context: Context) -> StepResult:
    """Compare both answers to held-out prompts; an item is a pair, its group the task.

    inputs: model (one artifact with model/), data (pairs of each of values.tasks). accuracy compares ln p of
    the answers; accuracy_by_token their means, as long answers are less likely for their length alone. Equal
    ones count a half.
    """
    from llm.evaluation.held_out import held_out_shard, names_of
    from llm.evaluation.result import rows, write
    from llm.evaluation.scoring import PRECISIONS
    from llm.examples.in_chat import preferences_in_chat
    from llm.models.folder import load
    from llm.training import devices

    settings = values.settings
    device = devices.choose(context.machine.device)
    model, tokenizer = load(inputs["model"][0] / "model", device, PRECISIONS[settings.precision])
    sides: list[InChat] = []
    tasks: list[str] = []
    for task, data in zip(values.tasks, inputs["data"], strict=True):
        pairs = preferences_in_chat(held_out_shard(data)[0], tokenizer)
        for pair in itertools.islice(pairs, settings.pairs):
            sides += pair
            tasks.append(task)
    nats, tokens = _nats(model, sides, context)
    if not tasks:
        context.report.warning("no pair is held out: preferences are not measured")
    by_token = nats / tokens
    items = names_of([one.example for one in sides[::2]])
    ones = [1.0] * len(items)
    chosen = nats[:, 0].tolist(), tokens[:, 0].tolist()
    tables = [
        rows("accuracy", items, tasks, _right(nats), ones),
        rows("accuracy_by_token", items, tasks, _right(by_token), ones),
        rows("chosen_nats_per_token", items, tasks, *chosen),
    ]
    protocol = (
        f"{counted(len(items), 'held-out pair')}, each answer behind its prompt in the chat template, with the "
        f"closing <|im_end|>; {settings.precision}"
    )
    return write(context, "preferences", SUITE.figures, tables, protocol, "pair")


def _right(nats: "np.ndarray") -> list[float]:
    """1 where the first of two is less surprising, one half where they are equal."""
    found: list[float] = ((nats[:, 0] < nats[:, 1]) + 0.5 * (nats[:, 0] == nats[:, 1])).tolist()
    return found


def _nats(
    model: "Decoder", sides: "Sequence[InChat]", context: Context
) -> "tuple[np.ndarray, np.ndarray]":
    """-ln p of the answers of each pair, and how many tokens they have: (pairs, 2) each."""
    import numpy as np

    from llm.evaluation.scoring import score

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    length = model.config.context_length
    wanted = [np.array(one.learn[1:], bool) for one in sides]
    ids = [np.array(one.ids, np.int64) for one in sides]
    scored = score(model, ids, length, max(1, length // 2), progress=progress, wanted=wanted)
    nats = np.array([float(one.sum()) for one in scored]).reshape(-1, 2)
    return nats, np.array([float(one.sum()) for one in wanted]).reshape(-1, 2)


def show(measured: "Measured") -> Iterator[Section]:
    """For each task the base model beside the tuned one."""
    base = measured.models.get(BASE)
    for model, result in measured.models.items():
        if model == BASE:
            continue
        if not result.figures:
            yield Section(f"Preferences: {model}", "No pair is held out.")
            continue
        accuracy = result.figures["accuracy"]
        bars = [Bar(model, accuracy.value, f"{accuracy.value:.1%}")]
        if base is not None and model in base.figures.get("accuracy", accuracy).groups:
            before = base.figures["accuracy"].groups[model].value
            bars.insert(0, Bar("base model", before, f"{before:.1%}"))
        words = ", ".join(f"{bar.name} {bar.text}" for bar in bars)
        yield Section(
            f"Preferences: {model}",
            protocol_note(result),
            parts=[
                Bars(bars, "share of pairs", f"Preferences: {words}"),
                figures_table(model, result),
            ],
            cards=[Card(f"{accuracy.value:.1%}", f"of pairs preferred rightly, {model}")],
        )
