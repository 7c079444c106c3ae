"""Bits per byte of the validation text: how many bits the model needs for each byte of it.

Unlike loss per token it does not depend on the tokenizer, so models, n-grams and compressors stand
on one axis. Each document is encoded alone, after <|endoftext|>, which is context and not scored;
special tokens that stand in the text are read as plain characters, so every byte is paid for.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.evaluation.section import Bar, Bars, Card, Section, Table
from llm.evaluation.suite import BASE, BITS_PER_BYTE, Kind, Measure, Suite
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    from llm.evaluation.result import Figure, Measured
    from llm.models.decoder import Decoder

LIBRARIES = ("torch", "tokenizers")


@section
class PerplexitySettings:
    """How validation text is scored. Every field is part of the metric's protocol."""

    context_length: int | None = setting(
        default=None,
        description="Tokens that the model sees at once (count); none: its own context length.",
        ge=2,
    )
    stride: int | None = setting(
        default=None,
        description="Tokens between the starts of windows (count); none: half the context.",
        ge=1,
    )
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
        gt=0,
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )

    def __post_init__(self) -> None:
        if self.stride and self.context_length and self.stride > self.context_length:
            raise ValueError(
                f"stride {self.stride} is more than context_length {self.context_length}: tokens "
                f"between two windows would not be scored"
            )


SUITE = Suite(
    says="bits per byte of the validation text, beside `evaluate.baselines`",
    settings=PerplexitySettings,
    models="each",
    inputs=("documents",),
    figures=(BITS_PER_BYTE, Kind("nats_per_token", "nats per token", "lower")),
    groups="source",
)


def measure(values: Measure[PerplexitySettings], inputs: Inputs, context: Context) -> StepResult:
    """Score the validation documents; an item is a document, its group the document's source.

    inputs: model (one artifact with model/), documents (all written shards). Raises BadInput where
    no document is held out or the context is longer than the model's.
    """
    from llm.evaluation.result import rows, write
    from llm.evaluation.scoring import PRECISIONS, after_start, score
    from llm.evaluation.texts import held_out
    from llm.models import folder as model_folder
    from llm.tokens.special import END_OF_TEXT
    from llm.training import devices

    settings = values.settings
    documents = held_out(
        inputs["documents"], values.validation_fraction, settings.documents_limit_bytes
    )
    folder = inputs["model"][0] / "model"
    model, tokenizer = model_folder.load(
        folder, devices.choose(context.machine.device), PRECISIONS[settings.precision]
    )
    length, stride = window_of(model, settings, folder)
    texts = after_start(tokenizer, [document.text.decode() for document in documents])

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    scored = score(model, texts, length, stride, progress=progress)
    nats = [float(each.sum()) for each in scored]
    ids = [document.doc_id.hex() for document in documents]
    sources = [document.source for document in documents]
    sizes = [len(document.text) for document in documents]
    protocol = (
        f"bits per byte over {counted(len(documents), 'validation document')}; bytes are the "
        f"{sum(sizes)} bytes of their UTF-8 text; each document alone after {END_OF_TEXT}, which is "
        f"context and not counted; context of {length} tokens in windows {stride} tokens apart; "
        f"{settings.precision}"
    )
    tables = [
        rows("bits_per_byte", ids, sources, [one / math.log(2) for one in nats], sizes),
        rows("nats_per_token", ids, sources, nats, [len(each) for each in scored]),
    ]
    return write(context, "perplexity", SUITE.figures, tables, protocol, "document")


def window_of(model: "Decoder", settings: PerplexitySettings, folder: Path) -> tuple[int, int]:
    """Context length and stride in tokens, resolved. Raises BadInput for more than the model has."""
    longest = model.config.context_length
    length = settings.context_length or longest
    if length > longest:
        raise BadInput(
            f"evaluate.perplexity.context_length {length} is more than the {longest} tokens of "
            f"{folder}: lower it, or leave it out"
        )
    stride = settings.stride or max(1, length // 2)
    if stride > length:
        raise BadInput(
            f"evaluate.perplexity.stride {stride} is more than the context of {length} tokens of "
            f"{folder}: lower it, or leave it out"
        )
    return length, stride


def show(measured: "Measured") -> Iterator[Section]:
    """Models against baselines, best first, on the same bytes."""
    models = {
        "base model" if name == BASE else f"tuned: {name}": result.figures["bits_per_byte"]
        for name, result in measured.models.items()
        if "bits_per_byte" in result.figures
    }
    simple = {name: result.figures["bits_per_byte"] for name, result in measured.baselines.items()}
    _require_the_same_bytes({**models, **simple})
    found = sorted({**models, **simple}.items(), key=lambda one: one[1].value)
    if not found:
        return
    bars = [
        Bar(name, figure.value, f"{figure.value:.3f}", "ours" if name in models else "plain")
        for name, figure in found
    ]
    words = "Bits per byte: " + ", ".join(f"{name} {one.value:.3f}" for name, one in found)
    base = models.get("base model")
    yield Section(
        "Bits per byte",
        "Lower is better. All figures are over the same bytes of held-out text. The interval tells how "
        "far a figure would move with other documents of the same kind.",
        parts=[
            Bars(bars, "bits per byte of validation text", words),
            Table(
                ["", "bits per byte", "95 % interval", "against the base"],
                [_row(name, figure, base) for name, figure in found],
                [number for number, (name, _) in enumerate(found) if name in models],
            ),
        ],
        cards=[] if base is None else [Card(f"{base.value:.3f}", "bits per byte, base model")],
    )
    if base is not None and len(base.groups) > 1:
        yield _by_source(models)


def _row(name: str, figure: "Figure", base: "Figure | None") -> list[str]:
    # What says the same of every document has no spread to tell of.
    spread = f"± {figure.spread:.3f}" if figure.spread else ""
    against = "" if base is None or figure is base else f"{figure.value / base.value - 1:+.1%}"
    return [name, f"{figure.value:.3f}", spread, against]


def _by_source(models: dict[str, Any]) -> Section:
    sources = sorted({source for figure in models.values() for source in figure.groups})
    cells = [[source, *(_cell(figure, source) for figure in models.values())] for source in sources]
    return Section("Bits per byte of each source", parts=[Table(["source", *models], cells)])


def _cell(figure: "Figure", source: str) -> str:
    part = figure.groups.get(source)
    return "" if part is None else f"{part.value:.3f}"


def _require_the_same_bytes(figures: dict[str, Any]) -> None:
    sizes = {name: int(figure.weight) for name, figure in figures.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise BadInput(
            f"models and baselines were not measured on the same bytes of validation text ({told}): "
            "run the tokenize and evaluate stages again on the same documents"
        )
