"""How good a model's translations of held-out sentences are: BLEU, chrF, and the loss on the references."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llm.durable import write_json
from llm.evaluation.section import Card, Section, Text, Texts
from llm.evaluation.shown import figures_table, protocol_note
from llm.evaluation.suite import Kind, Measure, Suite
from llm.examples.settings import PAIRS
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult
from llm.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from llm.evaluation.corpus_scores import CorpusScore
    from llm.evaluation.result import Measured

LIBRARIES = ("torch", "tokenizers", "sacrebleu")
FILE = "translations.json"


@section
class TranslationSettings:
    """How translations of held-out sentences are measured."""

    sentences: int = setting(
        default=5_000, description="Held-out sentences, at most (count): the first ones.", ge=1
    )
    beams: int | None = setting(
        default=None,
        description="Beams of the search (count); none: as many as the task says.",
        ge=1,
    )
    shown: int = setting(
        default=12, description="Translations that the report shows (count).", ge=0
    )


SUITE = Suite(
    says="translations of held-out sentences, of each translate task: those of `test` where it is given",
    settings=TranslationSettings,
    models="tuned",
    inputs=("data",),
    columns=PAIRS,
    architectures=("encoder_decoder", "decoder"),
    figures=(
        Kind("chrf", "chrF", "higher"),
        Kind("bleu", "BLEU", "higher"),
        Kind("nats_per_token", "nats per token", "lower"),
    ),
)


def measure(values: Measure[TranslationSettings], inputs: Inputs, context: Context) -> StepResult:
    """Translate held-out sentences in the first direction; an item is a sentence with one reference.

    inputs: model (one artifact with model/), data (its task's examples). items.parquet holds what BLEU
    and chrF are made of, too: of each sentence the n-grams that match and those that there are
    (bleu_1 to bleu_4, chrf_said_1 to chrf_wanted_6), and the lengths (bleu_length).
    """
    from llm.evaluation.corpus_scores import bleu, chrf
    from llm.evaluation.held_out import held_out_shard, names_of
    from llm.evaluation.result import rows, write
    from llm.training import devices
    from llm.training.finetune import translating

    settings = values.settings
    device = devices.choose(context.machine.device)
    translator = translating.Translator(inputs["model"][0] / "model", device)
    shard, split = held_out_shard(inputs["data"][0])
    examples = list(itertools.islice(shard.examples(PAIRS), settings.sentences))
    sources, wanted = ([one.cells[side].strip() for one in examples] for side in (0, 1))

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "sentences")

    said = translator.translate(sources, beams=settings.beams, progress=progress)
    beams = settings.beams or translator.translation.beams
    items, groups = names_of(examples), [""] * len(examples)
    tables, protocol = [], f"{counted(len(examples), 'sentence')} of the {split} examples"
    if examples:
        found = {"bleu": bleu(said, wanted), "chrf": chrf(said, wanted)}
        for name, score in found.items():
            tables.append(rows(name, items, groups, score.parts.tolist(), [1.0] * len(items)))
        tables += list(_counts(items, found["bleu"], found["chrf"]))
        nats, tokens = translator.losses(sources, wanted)
        tables.append(rows("nats_per_token", items, groups, nats, tokens))
        protocol += (
            f", one reference each, {counted(beams, 'beam')}, length penalty "
            f"{translator.translation.length_penalty:g}; sacrebleu {found['bleu'].signature} and "
            f"{found['chrf'].signature}"
        )
    else:
        context.report.warning("no sentence is held out: translations are not measured")
    result = write(context, "translations", SUITE.figures, tables, protocol, "sentence")
    shown = zip(sources, said, wanted, strict=True)
    texts = [dict(zip(("source", "said", "wanted"), one, strict=True)) for one in shown]
    write_json(context.out / FILE, _spread(texts, settings.shown))
    return result


def _counts(items: Sequence[str], bleu: "CorpusScore", chrf: "CorpusScore") -> "Iterator[pa.Table]":
    """What the two figures are made of, as ratios of sums."""
    from llm.evaluation.result import rows

    def of(name: str, sums: Any, weights: Any) -> "pa.Table":
        groups = [""] * len(items)
        return rows(name, items, groups, *(one.astype(float).tolist() for one in (sums, weights)))

    yield of("bleu_length", bleu.counts[:, 0], bleu.counts[:, 1])
    order = (bleu.counts.shape[1] - 2) // 2
    for n in range(order):
        yield of(f"bleu_{n + 1}", bleu.counts[:, 2 + n], bleu.counts[:, 2 + order + n])
    for n in range(chrf.counts.shape[1] // 3):
        said, wanted, matching = (chrf.counts[:, 3 * n + place] for place in range(3))
        yield of(f"chrf_said_{n + 1}", matching, said)
        yield of(f"chrf_wanted_{n + 1}", matching, wanted)


def _spread(texts: Sequence[Any], most: int) -> list[Any]:
    """Some of the texts, as far from each other as can be."""
    count = min(most, len(texts))
    return [texts[number * len(texts) // count] for number in range(count)]


def show(measured: "Measured") -> Iterator[Section]:
    """Each task's figures, and some of its translations."""
    for model, result in measured.models.items():
        if not result.figures:
            yield Section(f"Translations: {model}", "No sentence is held out.")
            continue
        texts = [
            Text(model, one["source"], one["said"], True, True, one["wanted"])
            for one in json.loads((result.folder / FILE).read_text("utf8"))
        ]
        yield Section(
            f"Translations: {model}",
            protocol_note(result),
            parts=[
                figures_table(model, result, digits=2),
                *([Texts(texts)] if texts else []),
            ],
            cards=[Card(f"{result.figures['chrf'].value:.1f}", f"chrF of translations, {model}")],
            wide=True,
        )
