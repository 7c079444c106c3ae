"""Every objective trains the architecture that it is for, from shards to a folder that loads again."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.machine import Machine
from llm.models.config import ModelSettings
from llm.models.folder import load_model
from llm.step import Inputs
from llm.tokens.special import CLASSIFY, MASK, SENTINELS, SEPARATOR, SPECIAL_TOKENS
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.pretrain import step as pretrain
from llm.training.ranks.rank import Group
from llm.training.work import JOB, METRICS, MODEL
from tests.llm.training.runs import (
    VOCABULARY,
    Zygote,
    figures,
    outcome,
    prepared,
    tiny_settings,
    write_tokens,
)

SMALL = {"layers": 2, "d_model": 32, "heads": 2, "context_length": 32}
KINDS: dict[str, dict[str, Any]] = {
    "next_token": {"preset": "qwen3"},
    "masked": {"preset": "bert", "next_sentence": False, "dropout": 0.0},
    "masked_next_sentence": {"preset": "bert", "dropout": 0.0},
    "span_corruption": {"preset": "llama", "architecture": "encoder_decoder", "export": "own"},
}


@pytest.fixture(scope="module")
def reserved(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A shard, and a tokenizer that reserves what hides tokens."""
    root = tmp_path_factory.mktemp("reserved")
    write_tokens(root / "shard", 4000, 0)
    words = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words))
    tokenizer.add_special_tokens([*SPECIAL_TOKENS, MASK, CLASSIFY, SEPARATOR, *SENTINELS])
    (root / "tokenizer").mkdir()
    tokenizer.save(str(root / "tokenizer" / "tokenizer.json"))
    return {"tokens": [root / "shard"], "tokenizer": [root / "tokenizer"]}


@pytest.mark.parametrize("objective", KINDS)
def test_training_lowers_the_loss_and_leaves_a_model_that_loads(
    objective: str, reserved: Inputs, tmp_path: Path
) -> None:
    settings = tiny_settings(
        model=ModelSettings(**SMALL, **KINDS[objective]),
        objective=ObjectiveSettings(type=objective),  # type: ignore[arg-type]
        tokens=60 * 256,
        batch_tokens=256,
        z_loss=1e-4,
    )
    job = prepared(settings, reserved, tmp_path / "work")
    assert pretrain.train(json.loads(job.read_bytes()), Group(), tmp_path / "work")
    lines = (tmp_path / "work" / METRICS).read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert sum(losses[-5:]) / 5 < 0.9 * losses[0]
    model = load_model(tmp_path / "work" / MODEL)
    assert model.config.architecture == settings.model.architecture
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
@pytest.mark.parametrize("objective", KINDS)
def test_two_ranks_with_a_model_each_or_half_of_one_train_as_one_does(
    objective: str, parallelism: str, reserved: Inputs, zygote: Zygote, tmp_path: Path
) -> None:
    """Also where a head is there that the objective does not ask."""
    kind = {**KINDS[objective], "next_sentence": objective.startswith("masked")}
    settings = tiny_settings(
        model=ModelSettings(**SMALL, **kind),
        objective=ObjectiveSettings(type=objective),  # type: ignore[arg-type]
        tokens=6 * 256,
        batch_tokens=256,
    )
    for way, processes in (("auto", 1), (parallelism, 2)):
        machine = Machine(device="cpu", micro_batch=1, parallelism=way)  # type: ignore[arg-type]
        job = prepared(settings, reserved, tmp_path / way, machine)
        assert zygote.run(processes, job) == [0] * processes
    assert figures(tmp_path / parallelism) == pytest.approx(figures(tmp_path / "auto"), rel=1e-5)


@pytest.mark.parametrize("architecture", ["encoder", "encoder_decoder"])
def test_with_dropout_bits_are_the_same_killed_or_not_and_with_one_process_or_two(
    architecture: str, reserved: Inputs, zygote: Zygote, tmp_path: Path
) -> None:
    """The encoder's rows hold several documents each."""
    kind = {"encoder": KINDS["masked"], "encoder_decoder": {"preset": "bart"}}[architecture]
    objective = {"encoder": "masked", "encoder_decoder": "span_corruption"}[architecture]
    settings = tiny_settings(
        model=ModelSettings(**SMALL, **{**kind, "dropout": 0.2}),
        objective=ObjectiveSettings(type=objective),  # type: ignore[arg-type]
        packing="best_fit" if architecture == "encoder" else "concat",
        tokens=10 * 256,
        batch_tokens=256,
    )

    def kill_in_the_middle(group: int) -> None:
        metrics = tmp_path / "killed" / METRICS
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 4):
            time.sleep(0.001)
        os.killpg(group, signal.SIGKILL)

    for name, processes in (("one", 1), ("two", 2)):
        job = prepared(settings, reserved, tmp_path / name)
        assert zygote.run(processes, job) == [0] * processes
    job = prepared(settings, reserved, tmp_path / "killed")
    zygote.run(2, job, kill_in_the_middle)
    assert zygote.run(1, job) == [0]
    expected = outcome(tmp_path / "one")
    assert outcome(tmp_path / "two") == expected
    assert outcome(tmp_path / "killed") == expected


def test_a_tokenizer_that_reserves_nothing_is_refused_by_name(
    inputs: Inputs, tmp_path: Path
) -> None:
    settings = tiny_settings(
        model=ModelSettings(**SMALL, **KINDS["masked"]),
        objective=ObjectiveSettings(type="masked"),
        batch_tokens=256,
    )
    with pytest.raises(ValueError, match=r"<\|mask\|>"):
        prepared(settings, inputs, tmp_path / JOB)
