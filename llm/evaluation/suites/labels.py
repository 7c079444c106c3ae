"""Whether a fine-tuned model says the right labels of held-out texts."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llm.durable import write_json
from llm.evaluation.section import Card, Section, Table
from llm.evaluation.shown import figures_table, protocol_note
from llm.evaluation.suite import Kind, Measure, Suite
from llm.examples.settings import LABEL, TEXTS
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from llm.evaluation.result import Measured
    from llm.examples.shards import Example

LIBRARIES = ("torch", "tokenizers")
MORE = "more.json"
SHOWN = 10  # labels that the report shows: those most often predicted wrong


@section
class LabelSettings:
    """How labels of held-out texts are measured."""

    texts: int = setting(
        default=100_000, description="Held-out texts, at most (count): the first ones.", ge=1
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


SUITE = Suite(
    says="labels of held-out texts, of each classify task: those of `test` where it is given",
    settings=LabelSettings,
    models="tuned",
    inputs=("data",),
    columns=(*TEXTS, LABEL),
    architectures=("encoder", "decoder", "encoder_decoder"),
    writes=False,
    figures=(
        Kind("accuracy", "share of texts", "higher"),
        Kind("f1", "micro F1", "higher"),
        Kind("nats_per_text", "nats per text", "lower"),
    ),
)


def measure(values: Measure[LabelSettings], inputs: Inputs, context: Context) -> StepResult:
    """Tell held-out texts; an item is a text, its group the label that is right.

    inputs: model (one artifact with model/), data (its task's examples). A text is right where all its
    labels are. Writes more.json too: macro F1, the calibration error, and the labels most often predicted wrong.
    """
    import itertools

    from llm.evaluation.held_out import held_out_shard
    from llm.evaluation.result import write
    from llm.evaluation.scoring import PRECISIONS
    from llm.training import devices
    from llm.training.finetune.predicting import load_predictor, outputs_of

    settings = values.settings
    device = devices.choose(context.machine.device)
    folder = inputs["model"][0] / "model"
    model, tokenizer = load_predictor(folder, device, PRECISIONS[settings.precision])
    assert model.config.outputs is not None, "load_predictor sees to it"
    shard, split = held_out_shard(inputs["data"][0])
    examples = list(itertools.islice(shard.examples(SUITE.columns), settings.texts))

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "texts")

    pairs = [(one.cells[0], one.cells[1]) for one in examples]
    said = outputs_of(model, tokenizer, pairs, progress)
    names = model.config.outputs.labels
    several = model.config.outputs.problem == "multi_label_classification"
    tables, more = _tables(examples, said, names, several)
    protocol = (
        f"{counted(len(examples), 'text')} of the {split} examples, each predicted by itself; right where all of "
        f"its labels are, said where {'more likely than not' if several else 'likeliest'}; "
        f"{settings.precision}"
    )
    result = write(context, "labels", SUITE.figures, tables, protocol, "text")
    write_json(context.out / MORE, more)
    return result


def _tables(
    examples: "Sequence[Example]", outputs: "np.ndarray", names: Sequence[str], several: bool
) -> "tuple[list[pa.Table], dict[str, Any]]":
    import numpy as np

    from llm.evaluation.held_out import names_of
    from llm.evaluation.result import rows
    from llm.training.finetune.figures import UNKNOWN, of_classes, of_labels, probabilities

    number = {name: place for place, name in enumerate(names)}
    wanted = np.zeros((len(examples), len(names)), bool)
    unknown = np.zeros(len(examples), bool)
    for row, example in enumerate(examples):
        labels = set(example.cells[2])
        unknown[row] = not labels <= number.keys() or (not several and len(labels) != 1)
        wanted[row, [number[name] for name in labels if name in number]] = True
    chances = probabilities(outputs, several)
    if several:
        said = chances > 0.5
        figures = of_labels(outputs, wanted)
        each = np.log(np.maximum(np.where(wanted, chances, 1 - chances), 1e-38)).sum(1)
    else:
        said = np.eye(len(names), dtype=bool)[chances.argmax(1)] if len(chances) else wanted
        classes = np.where(unknown, UNKNOWN, wanted.argmax(1)) if len(wanted) else unknown
        figures = of_classes(outputs, classes)
        each = np.log(np.maximum((chances * wanted).sum(1), 1e-38))
    right = (said == wanted).all(1) & ~unknown
    hits, wrong = (said & wanted).sum(1), (said != wanted).sum(1) + unknown
    texts = names_of(examples)
    groups = [", ".join(sorted(example.cells[2])) for example in examples]
    weights = np.maximum(2 * hits + wrong, 0)
    tables = [
        rows("accuracy", texts, groups, right.astype(float).tolist(), [1.0] * len(texts)),
        rows("f1", texts, groups, (2.0 * hits).tolist(), weights.astype(float).tolist()),
        rows("nats_per_text", texts, groups, (-each).tolist(), (~unknown).astype(float).tolist()),
    ]
    confused: dict[tuple[str, str], int] = {}
    if not several:
        for group, place, fine in zip(
            groups, chances.argmax(1).tolist(), right.tolist(), strict=True
        ):
            if not fine:
                confused[(group, names[place])] = confused.get((group, names[place]), 0) + 1
    most = sorted(confused.items(), key=lambda one: (-one[1], one[0]))[:SHOWN]
    return tables, {
        "macro_f1": figures["macro_f1"],
        "ece": figures["ece"],
        "confused": [[*pair, times] for pair, times in most],
    }


def show(measured: "Measured") -> Iterator[Section]:
    """Each task's figures, and which labels are taken for which."""
    for model, result in measured.models.items():
        if not result.figures:
            yield Section(f"Labels: {model}", "No text is held out.")
            continue
        more = json.loads((result.folder / MORE).read_text("utf8"))
        accuracy = result.figures["accuracy"].value
        yield Section(
            f"Labels: {model}",
            protocol_note(result),
            parts=[
                figures_table(
                    model,
                    result,
                    more=[("macro F1", more["macro_f1"]), ("calibration error", more["ece"])],
                ),
                *([_confused(more["confused"])] if more["confused"] else []),
            ],
            cards=[Card(f"{accuracy:.1%}", f"of texts predicted right, {model}")],
        )


def _confused(pairs: Sequence[Sequence[Any]]) -> Table:
    rows = [[wanted, said, str(times)] for wanted, said, times in pairs]
    return Table(["label", "taken for", "times"], rows)
