"""Held-out answers: only what the assistant says counts, whichever model reads it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.evaluation.result import Result, read_items
from llm.evaluation.result import read as read_result
from llm.evaluation.suite import Measure
from llm.evaluation.suites.answers import AnswerSettings, measure
from llm.examples.shards import Shard
from llm.models import folder as model_folder
from llm.step import Context
from llm.training.finetune.instruct import Instruct, InstructSettings
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


def measured(tmp_path: Path, context: Context, *data: Path, **fields: object) -> Result:
    inputs = {"model": [tmp_path / "model"], "data": list(data)}
    tasks = tuple(folder.name for folder in data)
    values = Measure(settings=AnswerSettings(**fields), validation_fraction=0.1, tasks=tasks)
    measure(values, inputs, context)
    return read_result(context.out)


def test_a_uniform_model_loses_ln_of_the_vocabulary_on_each_answer_token(
    tmp_path: Path, context: Context
) -> None:
    model = write_model(tmp_path / "model", zero=True)
    result = measured(tmp_path, context, write_questions(tmp_path / "data"))
    nats = math.log(model.config.vocabulary)
    figures = result.figures
    assert figures["nats_per_token"].value == pytest.approx(nats, rel=1e-6)
    # "the thing." is th e Ġ th in g . and <|im_end|>; é is two bytes; each answer has its end.
    assert figures["nats_per_token"].weight == 8 + 3 + 2
    assert figures["bits_per_byte"].weight == 10 + 2 + 1
    assert figures["bits_per_byte"].value == pytest.approx(nats / math.log(2) * 13 / 13, rel=1e-6)


def test_the_loss_is_the_one_that_fine_tuning_minimises(tmp_path: Path, context: Context) -> None:
    model = write_model(tmp_path / "model")
    data = write_questions(tmp_path / "data")
    result = measured(tmp_path, context, data)
    _, tokenizer = model_folder.load(tmp_path / "model" / "model")
    files = Files.of(tmp_path)
    shard, values = Shard.open(data / "validation.arrow"), InstructSettings(name="ask", data="test")
    examples = Instruct().encode(values, shard, tokenizer)
    counts = write(files, examples, CONTEXT, tokenizer.get_vocab_size())
    assert counts.too_long == 0
    rows = Packed(files, CONTEXT, padding=3).read(np.arange(counts.rows))
    with torch.no_grad():
        summed = model.loss(*map(torch.tensor, (rows["tokens"], rows["targets"], rows["segments"])))
    figure = result.figures["nats_per_token"]
    assert figure.value == pytest.approx(summed.item() / counts.learned_tokens, rel=1e-5)


def test_conversations_longer_than_the_context_are_scored_to_their_end(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    result = measured(
        tmp_path, context, write_questions(tmp_path / "data", [("Long?", "abc " * CONTEXT)])
    )
    assert result.figures["nats_per_token"].weight == 4 * CONTEXT - 1 + 1


def test_only_so_many_questions_are_read(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model")
    result = measured(tmp_path, context, write_questions(tmp_path / "data"), questions=2)
    assert result.figures["nats_per_token"].items == 2
    assert "2 held-out conversations" in result.protocol


def test_nothing_held_out_gives_no_figures_rather_than_false_ones(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    result = measured(tmp_path, context, write_questions(tmp_path / "data", []))
    assert result.figures == {}


def test_the_base_model_s_figure_of_a_task_is_over_what_the_tuned_one_is_measured_on(
    tmp_path: Path, context: Context
) -> None:
    write_model(tmp_path / "model")
    one = write_questions(tmp_path / "one")
    two = write_questions(tmp_path / "two", [*PAIRS[:2], ("Hm?", "no."), ("Hm?", "no.")])
    both = measured(tmp_path, context, one, two)
    together = {
        (task, figure): read_items(context.out, figure, task)
        for task in ("one", "two")
        for figure in both.figures
    }
    assert both.figures["nats_per_token"].items == 7
    for folder in (one, two):
        alone = measured(tmp_path, context, folder)
        for name, figure in alone.figures.items():
            assert figure.value == pytest.approx(both.figures[name].groups[folder.name].value)
            items = read_items(context.out, name)
            assert items.names == together[folder.name, name].names
            assert len(set(items.names)) == len(items.names)
