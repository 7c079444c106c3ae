"""The suite translations: figures of what the model's folder makes it say, and what they are made of."""

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch
from sacrebleu.metrics import BLEU

from llm.evaluation.result import Measured, Result, read_items
from llm.evaluation.result import read as read_result
from llm.evaluation.section import Texts
from llm.evaluation.suite import Measure
from llm.evaluation.suites.translations import TranslationSettings, measure, show
from llm.examples.settings import PAIRS
from llm.examples.shards import Example, ShardWriter
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import Context
from llm.training.finetune.translate import TranslateSettings
from llm.training.finetune.translating import Translation, Translator
from tests.llm.training.finetune.talks import byte_tokenizer

SENTENCES = [("one two", "eins zwei"), ("a b c", "uu vv ww"), ("ok", "gut"), ("x y", "p q r s t")]
VALUES = TranslateSettings(name="de", task="translate", data="pairs.jsonl", beams=2)


def write_model(path: Path, architecture: str, zero: bool = False) -> None:
    settings = ModelSettings(
        architecture=architecture,  # type: ignore[arg-type]
        layers=1,
        d_model=32,
        heads=2,
        context_length=64,
        initialisation="normal",
    )
    tokenizer = byte_tokenizer()
    tokenizer.save(str(path.parent / "tokenizer.json"))
    model = build(settings.resolve(tokenizer.get_vocab_size()))
    model.initialise(seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0 if zero else 8
    folder.save(model, path, path.parent / "tokenizer.json")
    Translation.of(VALUES, architecture).write(path)


def measured(tmp_path: Path, context: Context, count: int | None = None) -> Result:
    data = tmp_path / "data"
    data.mkdir()
    with ShardWriter(data / "test.arrow", PAIRS, "test") as shard:
        for source, target in SENTENCES[:count]:
            shard.add(Example((source, target)))
    values = Measure(settings=TranslationSettings(), validation_fraction=0.1, tasks=("de",))
    measure(values, {"model": [tmp_path], "data": [data]}, context)
    return read_result(context.out)


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_the_figures_are_sacrebleus_of_what_the_model_says(
    architecture: str, tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model", architecture)
    result = measured(tmp_path, context)
    sources, wanted = zip(*SENTENCES, strict=True)
    said = Translator(tmp_path / "model").translate(sources)
    assert any(said)
    expected = sacrebleu.corpus_chrf(said, [list(wanted)])
    assert result.figures["chrf"].value == pytest.approx(expected.score, abs=1e-9)
    expected = sacrebleu.corpus_bleu(said, [list(wanted)])
    assert result.figures["bleu"].value == pytest.approx(expected.score, abs=1e-9)
    for words in ("4 sentences of the test examples", "2 beams", "tok:13a", "nc:6", "version:"):
        assert words in result.protocol
    [section] = show(Measured({"de": result}, {}))
    [texts] = [part for part in section.parts if isinstance(part, Texts)]
    shown = sorted((one.prompt, one.reference, one.text) for one in texts.texts)
    assert shown == sorted(zip(sources, wanted, said, strict=True))


def test_the_corpus_score_comes_from_the_items(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model", "encoder_decoder")
    result = measured(tmp_path, context)
    items = [read_items(context.out, f"bleu_{n}") for n in (1, 2, 3, 4)]
    length = read_items(context.out, "bleu_length")
    again = BLEU.compute_bleu(
        [int(one.sums.sum()) for one in items],
        [int(one.weights.sum()) for one in items],
        int(length.sums.sum()),
        int(length.weights.sum()),
        smooth_method="exp",
    )
    assert result.figures["bleu"].value == pytest.approx(again.score, abs=1e-9)
    scores = []
    for n in range(1, 7):
        said, wanted = (read_items(context.out, f"chrf_{side}_{n}") for side in ("said", "wanted"))
        if said.weights.sum() and wanted.weights.sum():
            precision, recall = said.value, wanted.value
            scores.append(5 * precision * recall / max(4 * precision + recall, 1e-16))
    # Popovic 2015: F2 of each order of n-grams, averaged.
    assert result.figures["chrf"].value == pytest.approx(100 * np.mean(scores), abs=1e-6)


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder"])
def test_a_uniform_model_loses_ln_of_the_vocabulary_on_each_token(
    architecture: str, tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model", architecture, zero=True)
    result = measured(tmp_path, context)
    assert result.figures["nats_per_token"].value == pytest.approx(np.log(260), rel=1e-6)
    tokens = sum(len(target) + 1 for _, target in SENTENCES)  # bytes, and the end
    assert result.figures["nats_per_token"].weight == tokens


def test_the_loss_is_that_of_each_pair_alone(tmp_path: Path) -> None:
    for architecture in ("encoder_decoder", "decoder"):
        write_model(tmp_path / "model", architecture)
        translator = Translator(tmp_path / "model")
        sources, targets = zip(*SENTENCES, ("x" * 80, "y"), strict=True)
        nats, tokens = translator.losses(sources, targets)
        alone = [translator.losses([a], [b]) for a, b in zip(sources, targets, strict=True)]
        assert nats == pytest.approx([one for [one], _ in alone], rel=1e-5)
        assert tokens == [one for _, [one] in alone]
        for target, one in zip(targets[:-1], tokens, strict=False):
            assert one == len(target) + 1


def test_nothing_held_out_has_no_figures(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model", "encoder_decoder")
    result = measured(tmp_path, context, count=0)
    assert not result.figures
    [section] = show(Measured({"de": result}, {}))
    assert "No sentence is held out" in section.note
