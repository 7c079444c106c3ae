"""The loop that the peers of `benchmarks/training.py` train with: nanoGPT's, in words of our own.

The same work as its train.py on one device, all cores as threads: random windows from a memory map
(the next ones drawn while the step runs), clipping at 1, AdamW, a warm-up and half a cosine; its
evaluation is left out of the time. A peer's script reads a job (JSON) and makes a model; the last line
printed is {"tokens_per_second", "wall_seconds", "loss", "val", "parameters", "torch"}.
"""

import contextlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Job = dict[str, Any]
Loss = Callable[[Tensor, Tensor], Tensor]


def windows(data: np.ndarray, starts: Any, length: int) -> tuple[Tensor, Tensor]:
    """Rows and what follows each token, from where `starts` says."""
    x = torch.stack([torch.from_numpy(data[i : i + length].astype(np.int64)) for i in starts])
    y = torch.stack(
        [torch.from_numpy(data[i + 1 : i + 1 + length].astype(np.int64)) for i in starts]
    )
    return x, y


def rate(step: int, job: Job) -> float:
    """Warm-up, then half a cosine down to the least rate."""
    peak, least, warmup = job["peak_lr"], job["least_lr"], job["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, job["schedule_steps"] - warmup)
    return least + 0.5 * (1 + math.cos(math.pi * done)) * (peak - least)


def precision(job: Job) -> Any:
    """What forward passes run under."""
    if job["precision"] == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


@torch.no_grad()
def validation(model: nn.Module, loss: Loss, job: Job) -> float:
    """Mean loss over the batches that the job names, in fp32 whatever it was trained in."""
    job["precision"] = "fp32"
    data = np.memmap(job["validation"], dtype=np.uint16, mode="r")
    model.eval()
    rows = np.load(job["validation_starts"])
    return statistics.fmean(
        float(loss(*windows(data, starts, job["context_length"]))) for starts in rows
    )


def run(make: Callable[[Job], tuple[nn.Module, Loss]], decay_vectors: bool) -> None:
    """Train the model of the job that the command line names; `make` gives it and its mean loss.

    decay_vectors: whether norm weights decay too.
    """
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.manual_seed(job["seed"])
    torch.set_num_threads(job["threads"])
    data = np.memmap(job["train"], dtype=np.uint16, mode="r")
    model, mean_loss = make(job)
    parameters = list(model.parameters())
    decayed = [p for p in parameters if p.ndim >= 2 or decay_vectors]
    others = [p for p in parameters if p.ndim < 2 and not decay_vectors]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job["peak_lr"], betas=(0.9, job["beta2"]))
    rows, length = job["rows"], job["context_length"]

    def draw() -> tuple[Tensor, Tensor]:
        return windows(data, torch.randint(len(data) - length, (rows,)).tolist(), length)

    x, y = draw()
    seconds, loss = [], math.nan
    for step in range(job["steps"]):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step, job)
        value = mean_loss(x, y)
        x, y = draw()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss = float(value.detach())
        seconds.append(time.perf_counter() - began)
    wall = time.time() - job["began"]
    timed = seconds[job["warm_up"] :] or seconds
    result = {
        "tokens_per_second": rows * length / statistics.median(timed),
        "wall_seconds": wall,
        "loss": loss,
        "val": validation(model, mean_loss, job) if job["validation"] else None,
        "parameters": sum(p.numel() for p in parameters),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
