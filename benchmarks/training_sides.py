"""Who trains in `benchmarks/training.py`: the product's pretrain step, and the peers as programs."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from training_data import (
    CORES,
    FP32,
    LIT_BF16,
    LIT_COMPILED,
    NANO,
    NANO_BF16,
    WARM_UP,
    Data,
    Setting,
    peer_job,
    recipe,
)

from llm.machine import Machine
from llm.models.folder import load_model
from llm.step import Context, PrintReporter
from llm.training.pretrain.settings import PretrainSettings
from llm.training.pretrain.step import pretrain
from llm.training.work import METRICS

HERE = Path(__file__).resolve().parent
LOOK_EVERY = 0.1  # seconds, at the memory
# A peer's script, its precision, whether torch compiles it.
PROGRAMS = {
    NANO: ("nanogpt_peer.py", "fp32", False),
    NANO_BF16: ("nanogpt_peer.py", "bf16", False),
    LIT_BF16: ("litgpt_peer.py", "bf16", False),
    LIT_COMPILED: ("litgpt_peer.py", "bf16", True),
}

Result = dict[str, Any]


def ours(values: PretrainSettings, setting: Setting, data: Data) -> Result:
    """The pretrain step, whole, as a run starts it; what the steps after the first few took."""
    with tempfile.TemporaryDirectory(prefix="penstock-training-") as name:
        folder = Path(name)
        for part in ("out", "work"):
            (folder / part).mkdir()
        context = Context(
            out=folder / "out",
            work=folder / "work",
            machine=Machine(processes=CORES, device="cpu"),
            report=PrintReporter(),
        )
        inputs = {"tokens": [data.folder / "tokens"], "tokenizer": [data.folder / "tokenizer"]}
        began = time.time()
        pretrain(values, inputs, context)
        wall = time.time() - began
        lines = (context.out / METRICS).read_text().splitlines()
        points = [json.loads(line) for line in lines]
        seconds = [values.batch_tokens / point["tokens_per_second"] for point in points]
        timed = seconds[WARM_UP:]
        return {
            "tokens_per_second": values.batch_tokens / statistics.median(timed),
            "wall_seconds": wall,
            "step_seconds": statistics.fmean(timed),
            "loss": points[-1]["loss"],
            "val": score(context.out / "model", setting, data) if data.starts else None,
        }


@torch.no_grad()
def score(folder: Path, setting: Setting, data: Data) -> float:
    """Mean loss on the validation rows that the peer is scored on too."""
    model = load_model(folder).eval()
    ids = np.fromfile(data.folder / "validation.bin", dtype=np.uint16).astype(np.int64)
    inside = np.arange(setting.context_length + 1)
    losses = []
    for starts in np.load(str(data.starts)):
        rows = torch.from_numpy(ids[starts[:, None] + inside])
        losses.append(float(model.loss(rows[:, :-1], rows[:, 1:])) / rows[:, 1:].numel())
    return statistics.fmean(losses)


def peer(
    side: str, setting: Setting, data: Data, steps: int, seed: int, python: dict[str, str]
) -> Result:
    """A peer on the same tokens. python: the interpreter of each script."""
    script, precision, compiled = PROGRAMS[side]
    job = {
        **peer_job(setting, data, steps, seed),
        "precision": precision,
        "compile": compiled,
        "began": time.time(),
    }
    path = data.folder / "peer.json"
    path.write_text(json.dumps(job))
    interpreter = python.get(script, sys.executable)
    if not Path(interpreter).exists():
        raise SystemExit(f"{side}: no {interpreter}: run `make bench-setup`, or choose --peers")
    command = [interpreter, str(HERE / script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed: {done.stderr[-2000:]}")
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def train(
    side: str, setting: Setting, data: Data, steps: int, seed: int, python: dict[str, str]
) -> Result:
    """One run of a side."""
    if side in PROGRAMS:
        return peer(side, setting, data, steps, seed, python)
    return ours(recipe(setting, steps, seed, "fp32" if side == FP32 else "auto"), setting, data)


def within(
    seconds: float, values: PretrainSettings, setting: Setting, data: Data, calibration: int = 60
) -> Result:
    """Ours for as many steps as fit into `seconds` of wall-clock time, start and end included.

    A short run tells what a step and what the rest takes; a fifth of the time is kept back, as a machine's
    slower minutes come unannounced.
    """
    trial = of_steps(values, calibration)
    first = ours(trial, setting, data)
    rest = first["wall_seconds"] - calibration * first["step_seconds"]
    steps = int((0.8 * seconds - rest) / first["step_seconds"])
    if steps < 1:
        raise SystemExit(
            f"{seconds:.0f} s are too few for our own recipe: give the peer more --steps"
        )
    return {**ours(of_steps(values, steps), setting, data), "steps": steps}


def of_steps(values: PretrainSettings, steps: int) -> PretrainSettings:
    """The same recipe, that long."""
    return dataclasses.replace(values, tokens=steps * values.batch_tokens, checkpoint_every=steps)


class Neighbours:
    """How much of the cores' time went elsewhere since this was made: other programs, other machines.

    Timings made while that was more than a few per cent are worth little.
    """

    def __init__(self) -> None:
        self.began, self.first = time.monotonic(), self._elsewhere()

    def _elsewhere(self) -> float:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user already
        return busy - sum(os.times()[:4])  # with the ended children's

    def share(self) -> float:
        """Fraction of all cores' time."""
        elapsed = time.monotonic() - self.began
        return (self._elsewhere() - self.first) / (elapsed * (os.cpu_count() or 1))


class Watched:
    """Watches how much memory the processes below this one take (bytes) while a block runs.

    Proportional set size: what processes share counts once. Looking takes time from those that are
    looked at, so runs that are timed are not watched.
    """

    def __enter__(self) -> "Watched":
        self.peak, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(LOOK_EVERY):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # it ended while it was looked at
            self.peak = max(self.peak, total)
