"""How well a model fills in what is hidden from it in held-out text.

For models that were pretrained so: an encoder says single tokens behind masks (BERT, arXiv
1810.04805), an encoder-decoder spans of them behind sentinels (T5, arXiv 1910.10683). What is hidden
is drawn from the document's id: the same tokens for every model of a vocabulary.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llm.durable import write_json
from llm.evaluation.section import Card, Section, Table
from llm.evaluation.shown import figures_table, protocol_note
from llm.evaluation.suite import BASE, BITS_PER_BYTE, Kind, Measure, Suite
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

    from llm.evaluation.hidden import Filled, Hidden
    from llm.evaluation.result import Measured
    from llm.evaluation.texts import HeldOut

LIBRARIES = ("torch", "tokenizers")
EXAMPLES = "examples.json"


@section
class InfillingSettings:
    """What is hidden of held-out text."""

    rate: float = setting(
        default=0.15, description="Share of the tokens that is hidden (fraction).", gt=0, lt=1
    )
    mean_span: float = setting(
        default=3.0,
        description="Mean length of a hidden span (tokens); for encoder-decoders.",
        ge=1,
    )
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is read, at most (bytes); none: all of it.",
        gt=0,
    )
    examples: int = setting(
        default=4, description="Windows that the report shows (count): the first ones.", ge=0
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


ACCURACY = Kind("accuracy", "share of hidden tokens", "higher")
SUITE = Suite(
    says="how well hidden tokens of the validation text are filled in, by encoders and encoder-decoders",
    settings=InfillingSettings,
    models="base",
    inputs=("documents",),
    architectures=("encoder", "encoder_decoder"),
    figures=(BITS_PER_BYTE, Kind("nats_per_token", "nats per hidden token", "lower"), ACCURACY),
    groups="source",
)


def measure(values: Measure[InfillingSettings], inputs: Inputs, context: Context) -> StepResult:
    """Hide tokens of the validation documents and score them; an item is a document.

    inputs: model (one artifact with model/), documents (all written shards). Writes examples.json
    too. Raises BadInput where no document is held out, or the tokenizer has no token for hiding.
    """
    from llm.evaluation import hidden
    from llm.evaluation.result import write
    from llm.evaluation.scoring import PRECISIONS
    from llm.evaluation.texts import held_out
    from llm.models import folder as model_folder
    from llm.training import devices

    settings = values.settings
    documents = held_out(
        inputs["documents"], values.validation_fraction, settings.documents_limit_bytes
    )
    model, tokenizer = model_folder.load_any(
        inputs["model"][0] / "model",
        devices.choose(context.machine.device),
        PRECISIONS[settings.precision],
    )
    try:
        how = hidden.hiding(model, tokenizer, settings.rate, settings.mean_span)
    except ValueError as error:
        raise BadInput(f"evaluate.infilling: {error}") from error
    found = hidden.hide(tokenizer, [(one.doc_id, one.text) for one in documents], how)
    if not found:
        raise BadInput(
            "evaluate.infilling: every held-out document is too short to hide a part of: raise "
            "tokenize.validation.fraction, or crawl more"
        )

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "windows")

    scored = hidden.score(model, found, progress)
    protocol = (
        f"{counted(len({one.document for one in found}), 'validation document')} in windows of at most "
        f"{how.length} tokens; {how.said}; the draws come from each document's id; of a document's bytes, "
        f"the hidden tokens' share of its tokens counts; {settings.precision}"
    )
    tables = _tables(documents, found, scored)
    result = write(context, "infilling", SUITE.figures, tables, protocol, "document")
    shown = list(zip(found, (one.guesses for one in scored), strict=True))[: settings.examples]
    write_json(context.out / EXAMPLES, [_example(tokenizer, *one) for one in shown])
    return result


def _tables(
    documents: "Sequence[HeldOut]", found: "Sequence[Hidden]", scored: "Sequence[Filled]"
) -> "list[pa.Table]":
    """The rows of each figure; documents that are too short to hide a part of have none."""
    import numpy as np

    from llm.evaluation.result import rows

    owners = np.array([one.document for one in found])
    there = np.unique(owners)

    def summed(of: Any) -> Any:
        return np.bincount(owners, list(of), len(documents))[there]

    tokens = summed(len(one.asked) for one in found)
    nats = summed(float(one.nats.sum()) for one in scored)
    pairs = zip(scored, found, strict=True)
    right = summed(float((one.guesses == window.asked).sum()) for one, window in pairs)
    share = tokens / summed(one.size for one in found)
    sizes = np.array([len(documents[number].text) for number in there])
    names = [documents[number].doc_id.hex() for number in there]
    sources = [documents[number].source for number in there]
    return [
        rows(figure, names, sources, sums.tolist(), weights.tolist())
        for figure, sums, weights in (
            ("bits_per_byte", nats / math.log(2), sizes * share),
            ("nats_per_token", nats, tokens),
            ("accuracy", right, tokens),
        )
    ]


def _example(tokenizer: "Tokenizer", window: "Hidden", guesses: Any) -> dict[str, Any]:
    """A window for people: its text with gaps, what stood there, and what the model would write."""
    return {
        "text": window.text,
        "hidden": [tokenizer.decode(window.asked[gap].tolist()) for gap in window.gaps],
        "guessed": [tokenizer.decode(guesses[gap].tolist()) for gap in window.gaps],
    }


def show(measured: "Measured") -> Iterator[Section]:
    """The figures, and windows with what the model fills in."""
    result = measured.models.get(BASE)
    if result is None or not result.figures:
        return
    accuracy = result.figures["accuracy"].value
    yield Section(
        "Filling in",
        "Tokens of held-out text are hidden, and the model says what stood there. "
        f"{protocol_note(result)}",
        parts=[figures_table("base model", result)],
        cards=[Card(f"{accuracy:.1%}", "of hidden tokens filled in right")],
    )
    examples = json.loads((result.folder / EXAMPLES).read_text("utf8"))
    if examples:
        yield Section(
            "Filled in",
            "The beginnings of held-out documents, with numbers where tokens are hidden.",
            parts=[_table(one) for one in examples],
            wide=True,
        )


def _table(example: dict[str, Any]) -> Table:
    pairs = list(zip(example["hidden"], example["guessed"], strict=True))
    rows = [[f"[{number}] {hidden}", said] for number, (hidden, said) in enumerate(pairs, start=1)]
    right = [number for number, (hidden, said) in enumerate(pairs) if hidden == said]
    return Table([example["text"], "the model"], rows, right)
