"""Held-out answers: only what the assistant says counts, whichever model reads it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.evaluation.answers import MeasureAnswers, measure
from llm.evaluation.answers_settings import AnswerSettings
from llm.examples.shards import Shard
from llm.models import folder as model_folder
from llm.step import Context
from llm.training.finetune.instruct import encode
from llm.training.finetune.packed import Files, Packed, write
from tests.examples import write_conversations
from tests.llm.evaluation.models import CONTEXT, write_model

PAIRS = [("Hm?", "the thing."), ("What?", "é"), ("Which one?", "a")]


def write_questions(folder: Path, pairs: list[tuple[str, str]] = PAIRS) -> Path:
    folder.mkdir()
    talks = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in pairs
    ]
    write_conversations(folder / "validation.arrow", talks)
    return folder


def metrics(tmp_path: Path, context: Context, data: Path, **fields: object) -> dict:
    inputs = {"model": [tmp_path / "model"], "data": [data]}
    measure(MeasureAnswers(settings=AnswerSettings(**fields)), inputs, context)
    return json.loads((context.out / "metrics.json").read_text())


def test_a_uniform_model_loses_ln_of_the_vocabulary_on_each_answer_token(
    tmp_path: Path, context: Context
) -> None:
    model = write_model(tmp_path / "model", zero=True)
    result = metrics(tmp_path, context, write_questions(tmp_path / "data"))
    nats = math.log(model.config.vocabulary)
    assert result["nats_per_token"] == pytest.approx(nats, rel=1e-6)
    # "the thing." is th e Ġ th in g . and <|im_end|>; é is two bytes; each answer has its end.
    assert result["answer_tokens"] == 8 + 3 + 2
    assert result["answer_bytes"] == 10 + 2 + 1
    assert result["bits_per_byte"] == pytest.approx(nats / math.log(2) * 13 / 13, rel=1e-6)


def test_the_loss_is_the_one_that_fine_tuning_minimises(tmp_path: Path, context: Context) -> None:
    model = write_model(tmp_path / "model")
    data = write_questions(tmp_path / "data")
    result = metrics(tmp_path, context, data)
    _, tokenizer = model_folder.load(tmp_path / "model" / "model")
    files = Files.of(tmp_path, "validation")
    shard = Shard.open(data / "validation.arrow")
    counts = write(files, encode(shard, tokenizer), CONTEXT, tokenizer.get_vocab_size())
    assert counts.too_long == 0
    rows = Packed(files, CONTEXT, padding=3).read(np.arange(counts.rows))
    with torch.no_grad():
        summed = model.loss(*map(torch.tensor, (rows.tokens, rows.targets, rows.segments)))
    assert result["nats_per_token"] == pytest.approx(
        summed.item() / counts.learned_tokens, rel=1e-5
    )


def test_conversations_longer_than_the_context_are_scored_to_their_end(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    result = metrics(
        tmp_path, context, write_questions(tmp_path / "data", [("Long?", "abc " * CONTEXT)])
    )
    assert result["answer_tokens"] == 4 * CONTEXT - 1 + 1


def test_only_so_many_questions_are_read(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model")
    result = metrics(tmp_path, context, write_questions(tmp_path / "data"), questions=2)
    assert result["questions"] == 2
    assert "2 held-out conversations" in result["protocol"]


def test_nothing_held_out_gives_no_figures_rather_than_false_ones(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    result = metrics(tmp_path, context, write_questions(tmp_path / "data", []))
    assert result["questions"] == 0
    assert result["nats_per_token"] is None
    assert result["bits_per_byte"] is None
