"""How near a fine-tuned model comes to the values of held-out texts."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from llm.durable import write_json
from llm.evaluation.section import Card, Section
from llm.evaluation.shown import figures_table, protocol_note
from llm.evaluation.suite import Kind, Measure, Suite
from llm.examples.settings import TEXTS, VALUE
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    from llm.evaluation.result import Measured

LIBRARIES = ("torch", "tokenizers")
MORE = "more.json"


@section
class ValueSettings:
    """How values of held-out texts are measured."""

    texts: int = setting(
        default=100_000, description="Held-out texts, at most (count): the first ones.", ge=1
    )
    precision: Literal["fp32", "bf16"] = setting(
        default="fp32", description="Number format of the activations."
    )


SUITE = Suite(
    says="values of held-out texts, of each regress task: those of `test` where it is given",
    settings=ValueSettings,
    models="tuned",
    inputs=("data",),
    columns=(*TEXTS, VALUE),
    architectures=("encoder", "decoder", "encoder_decoder"),
    writes=False,
    figures=(
        Kind("mean_error", "mean distance from the value", "lower"),
        Kind("squared_error", "mean squared error", "lower"),
    ),
)


def measure(values: Measure[ValueSettings], inputs: Inputs, context: Context) -> StepResult:
    """Tell held-out texts; an item is a text.

    inputs: model (one artifact with model/), data (its task's examples). Writes more.json too: the
    correlations.
    """
    import itertools

    import numpy as np

    from llm.evaluation.held_out import held_out_shard, names_of
    from llm.evaluation.result import rows, write
    from llm.evaluation.scoring import PRECISIONS
    from llm.training import devices
    from llm.training.finetune.figures import of_values
    from llm.training.finetune.predicting import load_predictor, outputs_of

    settings = values.settings
    device = devices.choose(context.machine.device)
    folder = inputs["model"][0] / "model"
    model, tokenizer = load_predictor(folder, device, PRECISIONS[settings.precision])
    shard, split = held_out_shard(inputs["data"][0])
    examples = list(itertools.islice(shard.examples(SUITE.columns), settings.texts))

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "texts")

    pairs = [(one.cells[0], one.cells[1]) for one in examples]
    said = outputs_of(model, tokenizer, pairs, progress).astype(float)
    wanted = np.array([one.cells[2] for one in examples], float).reshape(said.shape)
    names, groups, ones = names_of(examples), [""] * len(examples), [1.0] * len(examples)
    error = said - wanted
    tables = [
        rows("mean_error", names, groups, np.abs(error).mean(1).tolist(), ones),
        rows("squared_error", names, groups, np.square(error).mean(1).tolist(), ones),
    ]
    protocol = (
        f"{counted(len(examples), 'text')} of the {split} examples, each predicted by itself, in the values' own "
        f"units; {settings.precision}"
    )
    result = write(context, "values", SUITE.figures, tables, protocol, "text")
    found = of_values(said, wanted)
    write_json(context.out / MORE, {name: found[name] for name in ("pearson", "spearman")})
    return result


def show(measured: "Measured") -> Iterator[Section]:
    """Each task's errors and correlations."""
    for model, result in measured.models.items():
        if not result.figures:
            yield Section(f"Values: {model}", "No text is held out.")
            continue
        more = json.loads((result.folder / MORE).read_text("utf8"))
        cards = []
        if more["pearson"] is not None:
            cards = [Card(f"{more['pearson']:.3f}", f"correlation of values, {model}")]
        yield Section(
            f"Values: {model}",
            protocol_note(result),
            parts=[
                figures_table(
                    model,
                    result,
                    more=[
                        ("correlation (Pearson)", more["pearson"]),
                        ("correlation (Spearman)", more["spearman"]),
                    ],
                )
            ],
            cards=cards,
        )
