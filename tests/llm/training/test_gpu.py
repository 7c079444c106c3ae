"""On a GPU, training is what it is on the CPU: compiled, in bf16, sharded, and gone on with.

Each is run on the CPU too (with `-m slow`), which shows that the test itself is sound.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm.machine import Machine
from llm.models import fused_loss
from llm.models.config import ModelSettings
from llm.step import Inputs
from llm.training.incidents import Incidents
from llm.training.loop import train
from llm.training.pretrain import step as pretrain
from llm.training.ranks.rank import Group
from llm.training.work import CHECKPOINTS, STARTED
from tests.llm.training import test_loop
from tests.llm.training.runs import figures, prepared, tiny_settings

NO_GPU = "no CUDA device is here"


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=pytest.mark.slow),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    """Where a test runs; skipped where that is not."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    return str(request.param)


@pytest.fixture
def gpu() -> None:
    """For what only a GPU can show."""
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)


def trained(inputs: Inputs, work: Path, machine: dict[str, Any], **changes: Any) -> list[float]:
    """Losses by step of a run in this process. Rows of 64 tokens, in a model that has all parts."""
    model = ModelSettings(
        preset="qwen3", layers=2, d_model=64, heads=4, kv_heads=2, context_length=64
    )
    defaults = {"batch_tokens": 512, "tokens": 12 * 512, "model": model, "keep_last": 9}
    settings = tiny_settings(**{**defaults, **changes})
    job = prepared(settings, inputs, work, Machine(**{"micro_batch": 2, **machine}))
    assert pretrain.train(json.loads(job.read_text()), Group(), work)
    return figures(work)


def test_compiled_bf16_follows_plain_fp32(device: str, inputs: Inputs, tmp_path: Path) -> None:
    plain = trained(inputs, tmp_path / "plain", {"device": device, "compile": False})
    fast = trained(
        inputs,
        tmp_path / "fast",
        {"device": device, "compile": True, "parallelism": "ddp"},
        precision="bf16",
    )
    assert plain[-1] < plain[0] - 0.2
    assert fast == pytest.approx(plain, rel=0.02)


def test_fsdp2_on_one_device_is_training_on_one_device(
    device: str, inputs: Inputs, tmp_path: Path
) -> None:
    """Compiled by block here, not at all there."""
    whole = trained(inputs, tmp_path / "whole", {"device": device, "compile": False})
    sharded = trained(
        inputs,
        tmp_path / "sharded",
        {"device": device, "compile": True, "parallelism": "fsdp"},
    )
    assert sharded == pytest.approx(whole, rel=1e-3)
    expected, found = (figures(tmp_path / name, "grad_norm") for name in ("whole", "sharded"))
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_a_run_goes_on_from_a_checkpoint_of_the_processor_and_of_the_device(
    parallelism: str, device: str, inputs: Inputs, tmp_path: Path
) -> None:
    """Steps 1 to 6 on the CPU, to 9 on the device, to 12 after another stop."""
    plain = trained(inputs, tmp_path / "plain", {"device": "cpu"})
    work = tmp_path / "stopped"
    trained(inputs, work, {"device": "cpu"})
    there = {"device": device, "parallelism": parallelism, "compile": False}
    for done in (6, 9):
        for folder in (work / CHECKPOINTS).glob("step-*"):
            if int(folder.name[5:]) > done:
                shutil.rmtree(folder)
        losses = trained(inputs, work, there)
        assert json.loads((work / STARTED).read_text())["step"] == done
        assert losses == pytest.approx(plain, rel=1e-3)


def test_the_compiled_head_gives_torchs_cross_entropy(device: str) -> None:
    """In fp32; TF32 is off unless a program asks for it."""
    torch.manual_seed(0)
    x = torch.randn(100, 32, device=device, requires_grad=True)
    weight = torch.randn(203, 32, device=device, requires_grad=True)
    targets = torch.randint(0, 203, (100,), device=device)
    targets[::3] = -100
    nats = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    loss = fused_loss.summed_loss(x, weight, targets)
    torch.testing.assert_close(loss, nats, rtol=1e-4, atol=1e-3)
    expected = torch.autograd.grad(nats, (x, weight))
    for ours, theirs in zip(torch.autograd.grad(loss, (x, weight)), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_dropout_hangs_on_the_seed_and_the_step_alone(
    device: str, inputs: Inputs, tmp_path: Path
) -> None:
    model = ModelSettings(
        preset="gpt2", layers=2, d_model=64, heads=4, context_length=64, dropout=0.2
    )
    there = {"device": device, "parallelism": "ddp", "compile": False}
    first, again = (
        trained(inputs, tmp_path / name, there, model=model) for name in ("first", "again")
    )
    assert again == pytest.approx(first, rel=1e-4)
    other = trained(inputs, tmp_path / "other", there, model=model, seed=2)
    assert other != pytest.approx(first, rel=1e-3)


@pytest.mark.gpu
def test_memory_that_runs_out_halves_the_micro_batch(gpu: None, tmp_path: Path) -> None:
    """The process may have 1 GiB; a row takes a quarter of that."""

    class Hungry(test_loop.Bigram):
        def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
            torch.empty(len(tokens) << 28, dtype=torch.uint8, device=tokens.device)
            return super().loss(tokens, targets)

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    share = (torch.cuda.memory_reserved() + (1 << 30)) / total
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        plan = test_loop.plan(micro_batch=12, parts=1)
        train(Hungry().cuda(), test_loop.Noise(), plan, Group(), tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert Incidents.read(tmp_path).counts() == {"micro_batch": {"0": 3}}
