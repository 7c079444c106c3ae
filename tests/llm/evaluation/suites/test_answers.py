"""Held-out answers: only what the assistant says counts, whichever model reads it."""

import math
import shutil
from pathlib import Path
from typing import Any

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
from llm.tokens.rows import IGNORE
from llm.tokens.special import MESSAGE_END_ID
from llm.training.finetune.instruct import Instruct, InstructSettings
from llm.training.finetune.packed import Files, Packed, write
from llm.training.finetune.prepare import setup_of
from tests.examples import write_conversations
from tests.llm.evaluation.models import CONTEXT, write_model
from tests.llm.training.finetune.proving import INSTRUCT, base_of, rows_of

CPU = torch.device("cpu")

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


def taught(root: Path, shape: dict[str, Any], data: Path, learns_end: bool) -> Path:
    """A folder with a small model that was taught the answers of PAIRS, with or without their end."""
    base = base_of(root / "made", shape)
    inputs = rows_of(root, INSTRUCT, base, data)
    setup = setup_of(INSTRUCT, base / "model", inputs["rows"][0])
    task = Instruct()
    model = task.model(setup, "cpu", torch.float32).eval()  # nothing is dropped out
    rows = task.rows(setup, inputs["rows"][0] / "train")
    batch = rows.read(np.arange(len(rows)))
    if not learns_end:
        batch["targets"][batch["targets"] == MESSAGE_END_ID] = IGNORE
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(120):
        optimizer.zero_grad()
        (task.objective(setup).loss(model, batch.tensors(slice(None), CPU)) / 20).backward()
        optimizer.step()
    task.save(setup, model, root / "model" / "model")
    return root


@pytest.mark.parametrize("learns_end", [True, False])
@pytest.mark.parametrize("preset", ["qwen3", "bart"])
def test_the_share_that_stops_tells_what_the_loss_does_not(
    preset: str, learns_end: bool, tmp_path: Path, context: Context
) -> None:
    data = write_questions(tmp_path / "data")
    shutil.copyfile(data / "validation.arrow", data / "train.arrow")
    root = taught(tmp_path, {"preset": preset, "hidden": 64, "kv_heads": 2}, data, learns_end)
    result = measured(root, context, data, max_new_tokens=24)
    stops = result.figures["stops"]
    assert (stops.value, stops.items) == (float(learns_end), 3)
    assert read_items(context.out, "stops").sums.tolist() == [float(learns_end)] * 3
    assert "of 3 questions, whether the likeliest answer stops within 24 tokens" in result.protocol


def test_a_model_that_was_not_taught_to_chat_is_not_asked(tmp_path: Path, context: Context) -> None:
    write_model(tmp_path / "model")
    assert "stops" not in measured(tmp_path, context, write_questions(tmp_path / "data")).figures
