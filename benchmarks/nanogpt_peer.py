"""The peer of `benchmarks/training.py`: nanoGPT's training loop in a few words of our own.

The same work as its train.py on one device: GPT-2's blocks without biases, learned positions, a tied
head, all logits at once, scaled_dot_product_attention, AdamW with decay on matrices only, clipping at
1, a cosine schedule, random windows from a memory map, evaluation left out of the time. It reads a job
(JSON) and prints {"tokens_per_second": ..., "seconds": ..., "loss": ..., "val": ...}.
"""

import contextlib
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WARM_UP = 3  # steps that are not timed


class Norm(nn.Module):
    """LayerNorm with a weight and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Block(nn.Module):
    """Attention and a GELU layer four times as wide, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.before(x)).split(width, dim=2)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Model(nn.Module):
    """Embeddings, blocks, a norm, and the head that shares the embeddings' weights."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__()
        width, layers = job["d_model"], job["layers"]
        self.tokens = nn.Embedding(job["vocabulary"], width)
        self.positions = nn.Embedding(job["context_length"], width)
        self.blocks = nn.ModuleList(Block(width, job["heads"]) for _ in range(layers))
        self.norm = Norm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if residual else 1))

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def windows(data: np.ndarray, starts: Any, length: int) -> tuple[Tensor, Tensor]:
    """Rows and what follows each token, from where `starts` says."""
    x = torch.stack([torch.from_numpy(data[i : i + length].astype(np.int64)) for i in starts])
    y = torch.stack(
        [torch.from_numpy(data[i + 1 : i + 1 + length].astype(np.int64)) for i in starts]
    )
    return x, y


def rate(step: int, job: dict[str, Any]) -> float:
    """Warm-up, then half a cosine down to the least rate."""
    peak, least, warmup = job["peak_lr"], job["least_lr"], job["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, job["schedule_steps"] - warmup)
    return least + 0.5 * (1 + math.cos(math.pi * done)) * (peak - least)


@torch.no_grad()
def validation(model: nn.Module, job: dict[str, Any], context: Any) -> float:
    """Mean loss over the batches that the job names."""
    data = np.memmap(job["validation"], dtype=np.uint16, mode="r")
    losses = []
    model.eval()
    for starts in np.load(job["validation_starts"]):
        with context:
            losses.append(float(model(*windows(data, starts, job["context_length"]))))
    return statistics.fmean(losses)


def main(path: str) -> None:
    """Train as the job says."""
    job = json.loads(Path(path).read_text())
    torch.manual_seed(job["seed"])
    torch.set_num_threads(job["threads"])
    data = np.memmap(job["train"], dtype=np.uint16, mode="r")
    half = job["precision"] == "bf16"
    context: Any = torch.autocast("cpu", dtype=torch.bfloat16) if half else contextlib.nullcontext()
    bare = Model(job)
    model: Any = torch.compile(bare) if job["compile"] else bare
    groups = [
        {"params": [p for p in bare.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in bare.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
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
        with context:
            value = model(x, y)
        x, y = draw()
        value.backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss = float(value)
        seconds.append(time.perf_counter() - began)
    timed = seconds[WARM_UP:] or seconds
    result = {
        "tokens_per_second": rows * length * len(timed) / sum(timed),
        "seconds": sum(seconds),
        "loss": loss,
        "val": validation(bare, job, context) if job["validation"] else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
