"""Baselines over tokens: the same documents and bytes as the model, from the validation shards."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from llm.evaluation.baselines import hmm, kneser_ney, trained
from llm.evaluation.held_tokens import held_tokens
from llm.evaluation.result import Figure, read, read_items
from llm.evaluation.scoring import after_start
from llm.evaluation.suite import MeasureBaseline
from llm.evaluation.suites.perplexity import PerplexitySettings
from llm.evaluation.texts import held_out
from llm.machine import Machine
from llm.models.baselines.config import CNNSettings, HMMSettings, KneserNeySettings, LSTMSettings
from llm.models.baselines.folder import load
from llm.step import BadInput, Context, Inputs
from llm.tokens.tokenize import TokenizeSettings, tokenize
from llm.tokens.tokenize_settings import ValidationSettings
from llm.training.baseline import step as baseline
from llm.training.baseline.step import BudgetSettings, CNNBaseline, LSTMBaseline
from llm.training.ranks.rank import Group
from llm.training.schedule import ScheduleSettings
from llm.training.work import MODEL
from tests.llm.evaluation.corpus import write_documents
from tests.llm.evaluation.models import write_tokenizer

FRACTION = 0.3
TEXTS = {
    f"http://x.test/{n}": f"seite {n}: " + f"häuser {n % 7} und <|endoftext|> gärten. " * 8
    for n in range(40)
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Documents in two shards, their tokens, and the tokenizer."""
    folder = tmp_path_factory.mktemp("corpus")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    write_tokenizer(tokenizer / "tokenizer.json")
    found: dict[str, list[Path]] = {"documents": [], "tokens": [], "tokenizer": [tokenizer]}
    for number in range(2):
        pages = dict(list(TEXTS.items())[number::2])
        written = write_documents(folder / f"documents-{number}", pages)
        out = folder / f"tokens-{number}"
        out.mkdir()
        values = TokenizeSettings(validation=ValidationSettings(fraction=FRACTION))
        given = {"documents": [written], "tokenizer": [tokenizer]}
        tokenize(values, given, Context(out=out, work=folder))
        found["documents"].append(written)
        found["tokens"].append(out)
    return found


def values_of(name: str, settings: object, **fields: object) -> MeasureBaseline:
    return MeasureBaseline(name=name, settings=settings, validation_fraction=FRACTION, **fields)


def measured(context: Context) -> Figure:
    return read(context.out).figures["bits_per_byte"]


@pytest.mark.parametrize("limit", [None, 1, 1500])
def test_the_validation_shards_give_what_the_held_out_texts_give(
    inputs: Inputs, limit: int | None
) -> None:
    held = held_tokens(inputs["tokens"], limit)
    documents = held_out(inputs["documents"], FRACTION, limit)
    tokenizer = Tokenizer.from_file(str(inputs["tokenizer"][0] / "tokenizer.json"))
    encoded = after_start(tokenizer, [document.text.decode() for document in documents])
    assert [one.tolist() for one in held.tokens] == [ids[1:].tolist() for ids in encoded]
    assert list(held.sizes) == [len(document.text) for document in documents]
    assert list(held.names) == [document.doc_id.hex() for document in documents]
    assert list(held.sources) == [document.source for document in documents]


def test_shards_without_a_held_out_document_say_what_to_do(inputs: Inputs, tmp_path: Path) -> None:
    values = TokenizeSettings(validation=ValidationSettings(fraction=0))
    context = Context(out=tmp_path, work=tmp_path)
    tokenize(values, {**inputs, "documents": inputs["documents"][:1]}, context)
    with pytest.raises(BadInput, match=r"raise tokenize.validation.fraction"):
        held_tokens([tmp_path])


def test_counted_baselines_learn_the_language_of_the_shards(
    inputs: Inputs, context: Context
) -> None:
    kneser_ney.measure(values_of("kneser_ney", KneserNeySettings()), inputs, context)
    figure = measured(context)
    assert figure.value < 0.5
    assert figure.weight == held_tokens(inputs["tokens"]).bytes
    assert "5-grams" in read(context.out).protocol
    by_document = read_items(context.out, "bits_per_byte")
    settings = HMMSettings(states=12, iterations=15, tokens=4000, smoothing=0.1)
    hmm.measure(values_of("hmm", settings), inputs, context)
    assert 0.3 < measured(context).value < 4
    assert read_items(context.out, "bits_per_byte").names == by_document.names
    [tokens] = re.findall(r"fitted to ([\d,]+) tokens", read(context.out).protocol)
    assert 4000 <= int(tokens.replace(",", "")) < 5000


@pytest.mark.parametrize(
    "values",
    [
        LSTMBaseline(
            model=LSTMSettings(layers=1, d_model=24, bptt=16),
            training=BudgetSettings(
                tokens=40_000,
                context_length=48,
                batch_tokens=16 * 48,
                schedule=ScheduleSettings(peak_lr=0.02, warmup_tokens=2_000, decay_fraction=0.5),
                precision="fp32",
            ),
        ),
        CNNBaseline(
            model=CNNSettings(layers=3, d_model=24, cycle=3),
            training=BudgetSettings(
                tokens=40_000,
                context_length=48,
                batch_tokens=16 * 48,
                schedule=ScheduleSettings(peak_lr=0.02, warmup_tokens=2_000, decay_fraction=0.5),
                precision="fp32",
            ),
        ),
    ],
    ids=["lstm", "cnn"],
)
def test_a_trained_baseline_learns_and_is_scored_as_its_own_losses_say(
    values: LSTMBaseline | CNNBaseline, inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    context = dataclasses.replace(context, machine=Machine(device="cpu"))
    job = baseline.prepare(values, inputs, context)
    assert baseline.train(job, Group(), context.work)
    folder = context.work / MODEL
    # No text is longer.
    scoring = PerplexitySettings(context_length=400, stride=400)
    scored = values_of(job["architecture"], values, scoring=scoring)
    trained.measure(scored, {**inputs, "model": [context.work]}, context)
    found = measured(context).value
    model, nats = load(folder), 0.0
    held = held_tokens(inputs["tokens"])
    for document in held.tokens:
        ids = torch.from_numpy(np.concatenate([[0], document]).astype(np.int64))[None]
        nats += float(model.loss(ids[:, :-1], ids[:, 1:]).detach())
    assert max(map(len, held.tokens)) < 400
    assert found == pytest.approx(nats / math.log(2) / held.bytes, rel=1e-4)
    assert found < 5  # 8 bits at first


def test_a_stride_beyond_the_baselines_row_is_named(inputs: Inputs, context: Context) -> None:
    values = LSTMBaseline(
        model=LSTMSettings(layers=1, d_model=8),
        training=BudgetSettings(context_length=16, batch_tokens=256),
    )
    job = baseline.prepare(values, inputs, context)
    job["budget"]["tokens"] = 1
    baseline.train(job, Group(), context.work)
    scored = values_of("lstm", values, scoring=PerplexitySettings(stride=17))
    with pytest.raises(BadInput, match=r"raise evaluate.lstm.training.context_length"):
        trained.measure(scored, {**inputs, "model": [context.work]}, context)
