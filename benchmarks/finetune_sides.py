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
from llm.training.finetune.prepare import prepare, setup_of
from llm.training.finetune.settings import FinetuneSettings, LoraSettings
from llm.training.finetune.step import finetune
from llm.training.finetune.task import Rows, task_of
from llm.training.work import METRICS, MODEL

HERE = Path(__file__).resolve().parent
WARM_UP = 3  # steps that are not timed

Result = dict[str, Any]

REVISION = """
import json, sys
from pathlib import Path
from llm.machine import Machine
from llm.models.config import ModelSettings
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling import trial
shape, vocabulary, folder = json.loads(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
packing = sys.argv[4]
model = ModelSettings(preset="bert", next_sentence=False, **shape)
values = PretrainSettings(model=model, objective=ObjectiveSettings(type="masked"), data_parallel=1,
                          packing=packing, batch_tokens=4096)
made = trial.measure(values, vocabulary, Machine(device="cpu", processes=1), folder)
lines = [json.loads(line) for line in (folder / "work" / "metrics.jsonl").open()]
print(json.dumps({"positions_per_second": made.part_rows * model.context_length / made.step_seconds,
                  "memory_bytes": lines[-1]["memory_bytes"], "loss": lines[min(9, len(lines) - 1)]["loss"]}))
"""


def pretrained(
    checkout: Path, shape: dict[str, Any], vocabulary: int, packing: str, root: Path
) -> Result:
    """The first steps of a BERT's pretraining by the code of a checkout."""
    given = [json.dumps(shape), str(vocabulary), str(root / "trial"), packing]
    return _told([sys.executable, "-c", REVISION, *given], checkout)


def settings(task: str, shape: Shape, epochs: float) -> FinetuneSettings:
    """The recipe's section of a task."""
    values: dict[str, Any] = {
        "name": "bench",
        "data": "given",
        "batch_tokens": shape.rows * shape.context_length,
        "data_parallel": 1,
        "epochs": epochs,
        "checkpoint_every": 100_000,
    }
    if task == "classify":
        return ClassifySettings(task="classify", **values)
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
    path.write_text(json.dumps({**job, "warm_up": WARM_UP, "threads": 1}))
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
