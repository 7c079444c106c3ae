"""Who trains in `benchmarks/finetune.py`: the product's finetune step, peers, and revisions of ours."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from finetune_data import Shape

from llm.durable import empty_folder
from llm.machine import Machine
from llm.step import Context
from llm.training.finetune.classify import ClassifySettings
from llm.training.finetune.instruct import InstructSettings
from llm.training.finetune.of_texts import TextOptimizer
from llm.training.finetune.prepare import prepare, setup_of
from llm.training.finetune.settings import FinetuneSettings, LoraSettings, TuningSchedule
from llm.training.finetune.step import finetune
from llm.training.finetune.task import Rows, task_of
from llm.training.ranks.launch import ALLOCATOR
from llm.training.work import METRICS, MODEL

HERE = Path(__file__).resolve().parent
PEAK_LR = 1e-3
WARM_UP = 3  # steps that are not timed

Result = dict[str, Any]

# One step a line that is read: both revisions make theirs in turn, so that neighbours disturb both alike.
REVISION = """
import json, resource, sys, time
import torch
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.flat import Flat
shape, vocabulary, packed = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "packed"
rows, passes, rate = 16, 2, 1e-3
settings = ModelSettings(preset="bert", next_sentence=False, **shape)
half = torch.bfloat16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else torch.float32
model = build(settings.resolve(vocabulary), half)
model.initialise(seed=1)
model.train()
flat = Flat(model, 1, Group())
optimizer = flat.optimizer(OptimizerSettings(), 0, half)
draw = torch.Generator().manual_seed(0)
size = rows, settings.context_length
done = 0
for _ in sys.stdin:
    given = []
    for _ in range(passes):
        tokens = (torch.rand(size, generator=draw) ** 3 * vocabulary).long()
        targets = tokens.where(torch.rand(size, generator=draw) < 0.15, -100)
        begins = torch.rand(size, generator=draw) < 1 / 30
        segments = begins.long().cumsum(1) + 1 if packed else None
        given.append({"tokens": tokens.where(targets < 0, 3), "targets": targets, "segments": segments})
    began = time.perf_counter()
    flat.collect(0)
    torch.manual_seed(done)
    flat.losses[0] = flat.counts[0] = 0.0
    for batch in given:
        loss = model.loss(**batch)
        loss.backward()
        flat.losses[0] += float(loss.detach())
        flat.counts[0] += float((batch["targets"] >= 0).sum())
    flat.reduce()
    flat.scale_gradient(min(1.0, 1.0 / flat.norm()))
    optimizer.step(rate * min(1.0, (done + 1) / 20))
    seconds = time.perf_counter() - began
    done += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"seconds": seconds, "loss": flat.loss(), "memory_bytes": memory}
    print(json.dumps({**told, "positions": passes * rows * size[1]}), flush=True)
"""


def in_turn(
    checkouts: dict[str, Path], shape: dict[str, Any], vocabulary: int, packed: bool, steps: int
) -> dict[str, list[Result]]:
    """Steps of a BERT's pretraining by the code of some checkouts, each made by all before the next."""
    kind = "packed" if packed else "whole"
    command = [sys.executable, "-c", REVISION, json.dumps(shape), str(vocabulary), kind]
    running = {
        side: subprocess.Popen(
            command,
            cwd=checkout,
            env={
                **os.environ,
                "GLIBC_TUNABLES": ALLOCATOR,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(checkout),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for side, checkout in checkouts.items()
    }
    found: dict[str, list[Result]] = {side: [] for side in checkouts}
    for number in range(WARM_UP + steps):
        for side in list(running)[:: -1 if number % 2 else 1]:
            process = running[side]
            assert process.stdin and process.stdout
            process.stdin.write("step\n")
            process.stdin.flush()
            found[side].append(json.loads(process.stdout.readline()))
    for process in running.values():
        process.communicate()
    return {side: made[WARM_UP:] for side, made in found.items()}


def settings(task: str, shape: Shape, steps: int) -> FinetuneSettings:
    """The recipe's section of a task; peers have the same rate (see `finetune_peer.arguments`)."""
    values: dict[str, Any] = {
        "name": "bench",
        "data": "given",
        "batch_tokens": shape.rows * shape.context_length,
        "data_parallel": 1,
        "steps": steps,
        "schedule": TuningSchedule(type="linear", peak_lr=PEAK_LR, warmup_fraction=0.1),
        "checkpoint_every": 100_000,
    }
    if task == "classify":
        plain: dict[str, Any] = {"label_smoothing": 0.1, "early_stopping": None, "dropout": None}
        optimizer = TextOptimizer(type="adamw", weight_decay=0.01)
        return ClassifySettings(task="classify", **values, **plain, optimizer=optimizer)
    adapt = LoraSettings(type="lora", rank=8, alpha=16.0) if task == "lora" else None
    return InstructSettings(**values, adapt=adapt)


def prepared(values: FinetuneSettings, base: Path, data: Path, root: Path) -> Path:
    """The rows of a task, as the step before training writes them."""
    context = _context(root)
    prepare(values, {"model": [base], "data": [data]}, context)
    return context.out


def rows_of(values: FinetuneSettings, base: Path, prepared_rows: Path) -> Rows:
    """The training rows that were prepared."""
    setup = setup_of(values, base / MODEL, prepared_rows)
    return task_of(values.task).rows(setup, prepared_rows / "train")


def filled(rows: Rows) -> tuple[float, float]:
    """What share of the rows' positions texts fill, and how many texts a row holds."""
    batch = rows.read(np.arange(len(rows)))
    read = batch["segments"]
    return float((read > 0).sum()) / (len(rows) * rows.length), float(read.max(1).mean())


def ours(values: FinetuneSettings, base: Path, rows: Path, fill: float, root: Path) -> Result:
    """The finetune step, whole, as a run starts it."""
    context = _context(root)
    finetune(values, {"model": [base], "rows": [rows]}, context)
    points = [json.loads(line) for line in (context.out / METRICS).read_text().splitlines()]
    return {
        "positions_per_second": fill
        * statistics.median(point["tokens_per_second"] for point in points[WARM_UP:]),
        "loss": statistics.fmean(point["loss"] for point in points),
        "memory_bytes": points[-1]["memory_bytes"],
        "steps": len(points),
    }


def peer(job: dict[str, Any], root: Path, python: Path) -> Result:
    """A peer's program on the same."""
    path = root / "peer.json"
    path.write_text(json.dumps({**job, "warm_up": WARM_UP, "threads": 1, "peak_lr": PEAK_LR}))
    if not python.exists():
        raise SystemExit(f"no {python}: run `make bench-setup`, or say --peer-python")
    return _told([str(python), str(HERE / "finetune_peer.py"), str(path)], None)


def _told(command: list[str], checkout: Path | None) -> Result:
    """The last line that a program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout)
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr[-3000:]}")
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def _context(root: Path) -> Context:
    empty_folder(root)
    for name in ("out", "work"):
        (root / name).mkdir()
    machine = Machine(processes=1, device="cpu")
    return Context(out=root / "out", work=root / "work", machine=machine)
