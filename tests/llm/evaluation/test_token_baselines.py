"""Baselines over tokens: the same documents and bytes as the model, from the validation shards."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from llm.evaluation import counted, trained
from llm.evaluation.counted import MeasureHMM, MeasureKneserNey
from llm.evaluation.held_tokens import held_tokens
from llm.evaluation.perplexity import PerplexitySettings, encode
from llm.evaluation.texts import held_out
from llm.evaluation.trained import MeasureTrained
from llm.machine import Machine
from llm.models.baselines.config import CNNSettings, HMMSettings, LSTMSettings
from llm.models.baselines.folder import load
from llm.step import BadInput, Context, Inputs
from llm.tokens.encode import TokenizeSettings, tokenize
from llm.tokens.encode_settings import ValidationSettings
from llm.training import baseline
from llm.training.baseline import BudgetSettings, CNNBaseline, LSTMBaseline
from llm.training.ranks import Group
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


def measured(context: Context) -> dict[str, dict[str, float]]:
    metrics: dict[str, dict[str, float]] = json.loads((context.out / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("limit", [None, 1, 1500])
def test_the_validation_shards_give_what_the_held_out_texts_give(
    inputs: Inputs, limit: int | None
) -> None:
    held = held_tokens(inputs["tokens"], limit)
    documents = held_out(inputs["documents"], FRACTION, limit)
    tokenizer = Tokenizer.from_file(str(inputs["tokenizer"][0] / "tokenizer.json"))
    encoded = encode(tokenizer, [document.text.decode() for document in documents])
    assert [one.tolist() for one in held.tokens] == [ids[1:].tolist() for ids in encoded]
    assert held.bytes == sum(len(document.text) for document in documents)


def test_shards_without_a_held_out_document_say_what_to_do(inputs: Inputs, tmp_path: Path) -> None:
    values = TokenizeSettings(validation=ValidationSettings(fraction=0))
    context = Context(out=tmp_path, work=tmp_path)
    tokenize(values, {**inputs, "documents": inputs["documents"][:1]}, context)
    with pytest.raises(BadInput, match=r"raise tokenize.validation.fraction"):
        held_tokens([tmp_path])


def test_counted_baselines_learn_the_language_of_the_shards(
    inputs: Inputs, context: Context
) -> None:
    counted.kneser_ney(MeasureKneserNey(), inputs, context)
    result = measured(context)
    assert result["bits_per_byte"]["kneser_ney"] < 0.5
    assert result["bytes"] == held_tokens(inputs["tokens"]).bytes
    assert "5-grams" in str(result["protocol"])
    settings = HMMSettings(states=12, iterations=15, tokens=4000, smoothing=0.1)
    made = counted.hmm(MeasureHMM(settings=settings), inputs, context)
    assert 0.3 < measured(context)["bits_per_byte"]["hmm"] < 4
    assert 4000 <= made.counts["tokens"] < 5000


@pytest.mark.parametrize(
    "values",
    [
        LSTMBaseline(
            model=LSTMSettings(layers=1, d_model=24, bptt=16),
            training=BudgetSettings(
                tokens=40_000, context_length=48, peak_lr=0.02, precision="fp32"
            ),
        ),
        CNNBaseline(
            model=CNNSettings(layers=3, d_model=24, cycle=3),
            training=BudgetSettings(
                tokens=40_000, context_length=48, peak_lr=0.02, precision="fp32"
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
    scored = MeasureTrained(
        baseline=job["architecture"],
        context_length=48,
        settings=PerplexitySettings(context_length=400, stride=400),  # no text is longer
    )
    trained.measure(scored, {**inputs, "model": [context.work]}, context)
    found = measured(context)["bits_per_byte"][job["architecture"]]
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
        model=LSTMSettings(layers=1, d_model=8), training=BudgetSettings(context_length=16)
    )
    job = baseline.prepare(values, inputs, context)
    job["budget"]["tokens"] = 1
    baseline.train(job, Group(), context.work)
    scored = MeasureTrained(
        baseline="lstm", context_length=16, settings=PerplexitySettings(stride=17)
    )
    with pytest.raises(BadInput, match=r"raise evaluate.lstm.training.context_length"):
        trained.measure(scored, {**inputs, "model": [context.work]}, context)
