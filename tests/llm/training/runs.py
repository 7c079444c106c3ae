"""A tiny corpus, settings for a model that trains in a second, and ways to run and compare it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.durable import file_digest, write_json
from llm.machine import Machine
from llm.models.config import ModelSettings
from llm.step import Context, Inputs
from llm.tokens.shards import ShardColumns, write_shard
from llm.training import checkpoints
from llm.training.pretrain.settings import PretrainSettings
from llm.training.pretrain.step import prepare
from llm.training.schedule import ScheduleSettings
from llm.training.work import CHECKPOINTS, JOB, METRICS, MODEL, SEEN, TRUNK, folder_digest

VOCABULARY = 60


def tiny_settings(**changes: Any) -> PretrainSettings:
    """Two layers of width 32 on rows of 16 tokens, 8 rows a step, 4 partial gradients."""
    defaults: dict[str, Any] = {
        "model": ModelSettings(layers=2, d_model=32, heads=2, head_dim=16, context_length=16),
        "tokens": 12 * 128,
        "batch_tokens": 128,
        "schedule": ScheduleSettings(peak_lr=0.01, warmup_tokens=256, decay_fraction=0.5),
        "data_parallel": 4,
        "checkpoint_every": 3,
        "precision": "fp32",
    }
    return PretrainSettings(**{**defaults, **changes})


def write_tokens(folder: Path, tokens: int, seed: int, source: str = "docs") -> None:
    """A tokenize artifact: one document of `tokens` ids that a model can learn something from."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    ids = (np.cumsum(random.integers(0, 4, tokens)) % VOCABULARY).astype(np.uint16)
    columns = ShardColumns(
        doc_ids=[bytes(16)], sources=[source], sizes=[tokens], lengths=[tokens], tokens=ids
    )
    write_shard(folder / "train.arrow", columns, {"tokenizer": "test"})


class Zygote:
    """Runs jobs on forked ranks, some of which it kills."""

    def __init__(self) -> None:
        checkout = Path(__file__).resolve().parents[3]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = str(checkout)  # not that of whichever checkout is installed
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=checkout,
        )

    def run(
        self, processes: int, job: Path, disturb: Callable[[int], None] | None = None
    ) -> list[int]:
        """The exit statuses of the ranks; `disturb` is called with their process group."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{processes} {job}\n")
        self.process.stdin.flush()
        group = int(self.process.stdout.readline())
        if disturb:
            disturb(group)
        return [int(status) for status in self.process.stdout.readline().split()]


def prepared(
    values: PretrainSettings, inputs: Inputs, work: Path, machine: Machine | None = None
) -> Path:
    """The job file of a run in the folder `work`."""
    work.mkdir(parents=True, exist_ok=True)
    context = Context(out=work, work=work, machine=machine or Machine(device="cpu"))
    write_json(work / JOB, prepare(values, inputs, context))
    return work / JOB


def figures(work: Path, name: str = "loss") -> list[float]:
    """One of a run's figures by step."""
    return [json.loads(line)[name] for line in (work / METRICS).read_text().splitlines()]


@dataclass(frozen=True)
class Outcome:
    """What two runs are compared by."""

    state: str
    model: str
    trunk: str
    windows: dict[int, list[int]]
    losses: list[float]


def outcome(work: Path) -> Outcome:
    """Digests of the last state (weights and moments), model and trunk; windows and loss by step."""
    newest = max((work / CHECKPOINTS).glob("step-*"))
    seen = [json.loads(line) for line in (work / SEEN).read_text().splitlines()]
    points = [json.loads(line) for line in (work / METRICS).read_text().splitlines()]
    steps = [line["step"] for line in seen]
    assert steps == list(range(1, len(steps) + 1)) == [point["step"] for point in points]
    return Outcome(
        state=file_digest(newest / checkpoints.STATE),
        model=folder_digest(work / MODEL),
        trunk=file_digest(work / TRUNK / checkpoints.STATE),
        windows={line["step"]: line["windows"] for line in seen},
        losses=[point["loss"] for point in points],
    )
