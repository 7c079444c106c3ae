"""What pretraining takes by formula, against models, files and counted operations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.utils.flop_counter import FlopCounterMode, mm_flop

from llm.machine import Machine
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import Context, Inputs
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.pretrain import step as pretrain
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks.rank import Group
from llm.training.scaling.cost import (
    checkpoint_steps,
    cost,
    flat_elements,
    seconds_at_peak,
    step_flops,
)
from llm.training.schedule import ScheduleSettings
from llm.training.ways.flat import FlatLayout
from llm.training.work import CHECKPOINTS
from tests.llm.training.runs import tiny_settings, write_tokens


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


# What num_parameters() of transformers gives for GPT2LMHeadModel and BertForPreTraining.
@pytest.mark.parametrize(
    ("preset", "vocabulary", "parameters"),
    [("gpt2-small", 50257, 124_439_808), ("bert-base", 30522, 110_106_428)],
)
def test_known_models_have_their_known_sizes(preset: str, vocabulary: int, parameters: int) -> None:
    values = PretrainSettings(
        model=ModelSettings(preset=preset),
        objective=ObjectiveSettings(
            type="masked_next_sentence" if preset == "bert-base" else "next_token"
        ),
        batch_tokens=1 << 16,
        tokens=1 << 30,
    )
    found = cost(values, values.model.resolve(vocabulary))
    assert found.parameters == parameters
    assert (found.steps, found.tokens) == (1 << 14, 1 << 30)
    assert found.state_bytes == pytest.approx(4 * 5 * parameters, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "gpt2", "context_length": 100},
        {"preset": "bert", "layers": 2},
        {"preset": "llama-60m"},
        {"architecture": "encoder_decoder", "layers": 2},
    ],
)
def test_a_flat_buffer_is_as_large_as_the_layout_makes_it(changes: dict[str, Any]) -> None:
    config = ModelSettings(**changes).resolve(vocabulary=4001)
    with torch.device("meta"):
        model = build(config)
    assert flat_elements(config) == FlatLayout.of(model).size


def test_the_estimated_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", 20_000, 0)
    (tmp_path / "tokenizer").mkdir()
    path = tmp_path / "tokenizer" / "tokenizer.json"
    Tokenizer(WordLevel({f"w{number}": number for number in range(3000)})).save(str(path))
    inputs: Inputs = {"tokens": [tmp_path / "tokens"], "tokenizer": [tmp_path / "tokenizer"]}
    values = tiny_settings(
        model=ModelSettings(layers=3, d_model=128, context_length=16), tokens=25 * 128, keep_last=3
    )
    context = Context(out=tmp_path / "out", work=tmp_path / "work", machine=Machine(device="cpu"))
    context.work.mkdir()
    job = pretrain.prepare(values, inputs, context)
    assert pretrain.train(json.loads(json.dumps(job)), Group(), context.work)
    found = cost(values, values.model.resolve(3000), size(path), 20_000)
    artifact = sum(
        size(context.work / name) for name in ("model", "trunk", "metrics.jsonl", "seen.jsonl")
    )
    assert found.artifact_bytes == pytest.approx(artifact, rel=0.01)
    assert found.work_bytes == pytest.approx(size(context.work) + artifact, rel=0.01)
    logs = size(context.work / "metrics.jsonl") + size(context.work / "seen.jsonl")
    before = cost(values, values.model.resolve(3000), size(path)).artifact_bytes
    assert before == pytest.approx(found.artifact_bytes, abs=0.1 * logs)
    kept = {int(path.name[5:]) for path in (context.work / CHECKPOINTS).iterdir()}
    assert kept == {18, 21, 24, 25} and kept < set(checkpoint_steps(values))


@pytest.mark.parametrize(
    ("objective", "model"),
    [
        (ObjectiveSettings(), {}),
        (ObjectiveSettings(type="masked", rate=0.25), {"preset": "bert", "dropout": 0.0}),
        (ObjectiveSettings(type="span_corruption"), {"architecture": "encoder_decoder"}),
    ],
)
def test_operations_are_those_that_torch_counts(
    objective: ObjectiveSettings, model: dict[str, Any]
) -> None:
    """Rows so short that attention, which torch counts in part only, hardly weighs."""
    values = PretrainSettings(
        model=ModelSettings(**{"layers": 3, "d_model": 128, "context_length": 16, **model}),
        objective=objective,
        batch_tokens=512,
        data_parallel=1,
    )
    config = values.model.resolve(600)
    network = build(config)
    network.initialise(0)
    tokens, targets, extras = _rows(values)
    # It knows products that are added to something, but not in place.
    mapping = {torch.ops.aten.addmm_: lambda _, a, b, **__: mm_flop(a, b)}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        network.loss(tokens, targets, **extras).backward()
    assert step_flops(values, config) == pytest.approx(counter.get_total_flops(), rel=0.05)


def _rows(values: PretrainSettings) -> tuple[Any, Any, dict[str, Any]]:
    """A step's rows as an objective makes them, of random tokens."""
    random = torch.Generator().manual_seed(0)

    def ids(length: int) -> Any:
        return torch.randint(600, (values.rows, length), generator=random)

    if values.objective.type == "span_corruption":
        # 16 tokens, 15 % of them hidden: 2 in 1 span, and a sentinel more than spans.
        return ids(4), ids(4), {"sources": ids(15)}
    tokens, targets = ids(16), ids(16)
    if values.objective.type == "masked":
        targets[:, 4:] = -100
    return tokens, targets, {}


def test_checkpoints_are_those_of_the_schedule() -> None:
    values = tiny_settings(tokens=10 * 128, schedule=ScheduleSettings(decay_fraction=0.5))
    assert checkpoint_steps(values) == [3, 5, 6, 9, 10]


def test_time_by_formula_is_told_of_known_devices_only() -> None:
    assert seconds_at_peak(989 * 10**12, "NVIDIA H200") == pytest.approx(2.5)
    assert seconds_at_peak(1, "some other device") is None
