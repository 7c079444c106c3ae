"""Replicated and sharded parameters train as the CPU's shared buffers do, here over gloo."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llm.machine import Machine
from llm.step import Context, Inputs
from llm.training.incidents import Incidents
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.pretrain.settings import PretrainSettings
from llm.training.pretrain.step import prepare
from llm.training.ranks import launch
from llm.training.ranks.guard import STOPPED
from llm.training.work import CHECKPOINTS, METRICS, MODEL
from tests.llm.training.runs import Zygote, figures, outcome, prepared, tiny_settings
from tests.waiting import wait_for

CLIPPED: dict[str, Any] = {"clip": 0.5, "keep_last": 9}  # every step's gradient is longer


def on(parallelism: Any) -> Machine:
    """Three rows in a pass: a part's two rows are one pass, and three parts' ranks differ in passes."""
    return Machine(device="cpu", parallelism=parallelism, micro_batch=3)


def state(work: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(work / CHECKPOINTS / f"step-{step:09d}" / "state.safetensors")


@pytest.fixture(scope="module")
def flat(zygote: Zygote, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one process as the CPU does it."""
    work = tmp_path_factory.mktemp("flat")
    assert zygote.run(1, prepared(settings(), inputs, work, on("auto"))) == [0]
    return work


def settings(**changes: Any) -> PretrainSettings:
    return tiny_settings(**{**CLIPPED, "validate_every": 4, "validation_tokens": 400, **changes})


@pytest.mark.parametrize(
    ("parallelism", "processes"),
    [
        ("ddp", 2),
        ("fsdp", 2),
        pytest.param("ddp", 1, marks=pytest.mark.slow),
        pytest.param("fsdp", 1, marks=pytest.mark.slow),
    ],
)
def test_losses_norms_and_weights_are_those_of_the_shared_buffers(
    parallelism: str, processes: int, flat: Path, zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    job = prepared(settings(), inputs, tmp_path, on(parallelism))
    assert zygote.run(processes, job) == [0] * processes
    for name, within in (("loss", 1e-5), ("grad_norm", 1e-4)):
        assert figures(tmp_path, name) == pytest.approx(figures(flat, name), rel=within)
    assert min(figures(flat, "grad_norm")) > 0.5
    for name, values in state(flat, 12).items():
        torch.testing.assert_close(state(tmp_path, 12)[name], values, rtol=1e-3, atol=1e-4)
    expected = load_file(flat / MODEL / "model.safetensors")
    found = load_file(tmp_path / MODEL / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-4)
    assert outcome(tmp_path).windows == outcome(flat).windows


def test_ranks_with_unlike_passes_learn_what_one_does(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    """The second of two ranks has one part of three, and makes an empty pass for the first's other."""
    machine = Machine(device="cpu", parallelism="ddp", micro_batch=2)
    for processes in (1, 2):
        work = tmp_path / str(processes)
        work.mkdir()
        values = settings(data_parallel=3, batch_tokens=6 * 16, tokens=6 * 6 * 16)
        assert zygote.run(processes, prepared(values, inputs, work, machine)) == [0] * processes
    alone, together = (figures(tmp_path / name, "loss") for name in ("1", "2"))
    assert together == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(("fsdp", 2), ("auto", 1), id="sharded then flat"),
        pytest.param(("auto", 1), ("fsdp", 2), id="flat then sharded", marks=pytest.mark.slow),
        pytest.param(("ddp", 2), ("fsdp", 1), id="replicated, sharded", marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_is_gone_on_from_in_another_way_on_another_number_of_processes(
    first: tuple[str, int],
    second: tuple[str, int],
    flat: Path,
    zygote: Zygote,
    inputs: Inputs,
    tmp_path: Path,
) -> None:
    """The second half is made twice: what is compared is what the second way made of the first's."""
    for number, (parallelism, processes) in enumerate((first, second)):
        job = prepared(settings(), inputs, tmp_path, on(parallelism))
        assert zygote.run(processes, job) == [0] * processes
        if number == 0:
            for step in (9, 12):
                shutil.rmtree(tmp_path / CHECKPOINTS / f"step-{step:09d}")
            shutil.rmtree(tmp_path / MODEL)
    started = json.loads((tmp_path / "started.json").read_text())
    assert started["step"] == 6 and "another environment" in str(started["warnings"])
    assert figures(tmp_path) == pytest.approx(figures(flat), rel=1e-5)
    for name, values in state(flat, 12).items():
        torch.testing.assert_close(state(tmp_path, 12)[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_ranks_with_fewer_parts_and_passes_keep_step_with_the_others(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    """Three parts on two ranks, in passes of one row: five of one rank's against three."""
    losses = []
    for name, processes in (("auto", 1), ("ddp", 2), ("fsdp", 2)):
        work = tmp_path / name
        machine = Machine(device="cpu", parallelism=name, micro_batch=1)  # type: ignore[arg-type]
        job = prepared(settings(data_parallel=3, tokens=6 * 128), inputs, work, machine)
        assert zygote.run(processes, job) == [0] * processes
        losses.append(figures(work))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.slow
def test_a_request_to_stop_ends_in_a_checkpoint_of_all_ranks(
    flat: Path, zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    job = prepared(settings(checkpoint_every=1000), inputs, tmp_path, on("fsdp"))

    def disturb(group: int) -> None:
        wait_for((tmp_path / METRICS).exists, 0.001)
        os.killpg(group, signal.SIGTERM)

    assert zygote.run(2, job, disturb) == [STOPPED, STOPPED]
    assert len(list((tmp_path / CHECKPOINTS).glob("step-*"))) == 1
    assert zygote.run(2, job) == [0, 0]
    assert figures(tmp_path) == pytest.approx(figures(flat), rel=1e-5)


@pytest.mark.slow
def test_muon_steps_replicated_matrices_and_refuses_sharded_ones(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    values = settings(optimizer=OptimizerSettings(type="muon"), tokens=6 * 128)
    losses = []
    for name, processes in (("auto", 1), ("ddp", 2)):
        job = prepared(values, inputs, tmp_path / name, on(name))
        assert zygote.run(processes, job) == [0] * processes
        losses.append(figures(tmp_path / name))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    job = prepared(values, inputs, tmp_path / "fsdp", on("fsdp"))
    assert zygote.run(2, job) == [1, 1]
    failure = json.loads((tmp_path / "fsdp" / "failure.json").read_text())
    assert failure["type"] == "BadInput"
    assert "optimizer.type muon" in failure["message"] and "parallelism" in failure["message"]


@pytest.mark.slow
def test_out_of_memory_on_one_rank_starts_all_again_with_half_the_micro_batch(
    flat: Path, inputs: Inputs, tmp_path: Path
) -> None:
    """tight.py is a rank that has no memory for more than one row, and rank 1 alone."""
    context = Context(
        out=tmp_path / "out",
        work=tmp_path / "work",
        machine=Machine(device="cpu", parallelism="fsdp", micro_batch=4, processes=2),
    )
    context.work.mkdir()
    values = settings(checkpoint_every=3)
    job = prepare(values, inputs, context)
    launch.run("tests.llm.training.tight", job, context, 2, values.steps)
    assert Incidents.read(context.work).counts() == {"micro_batch": {"0": 1}}
    assert figures(context.work) == pytest.approx(figures(flat), rel=1e-5)
