"""Pretraining beside an earlier revision: tokens a second, and whether both learn the same.

    python benchmarks/training_before.py REVISION [--rounds 5]

Checks the revision out into a temporary worktree and has both make the first steps of the same run in
turn, on as many processes as there are cores (`llm.training.scaling.trial`). The ratio is the median of
each round's. Checks that the losses are the same to the last bit. The last line is JSON.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 4, "d_model": 128, "heads": 4, "context_length": 64},
    "usual": {},
    "d384": {"layers": 6, "d_model": 384, "heads": 6, "context_length": 256},
}
VOCABULARY = 4096
ONE_REVISION = """
import json, sys
from pathlib import Path
from llm.models.config import ModelSettings
try:
    from llm.machine import Machine
except ImportError:
    from llm.step import Machine
try:
    from llm.training.optimizers.settings import OptimizerSettings
    from llm.training.pretrain.settings import PretrainSettings
    from llm.training.scaling import trial
except ImportError:  # a revision before these had folders of their own
    from llm.training import trial
    from llm.training.optimizer import OptimizerSettings
    from llm.training.pretrain_settings import PretrainSettings
shape, vocabulary, folder = json.loads(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
muon = OptimizerSettings(type="muon")
values = PretrainSettings(model=ModelSettings(**shape), optimizer=muon)
made = trial.measure(values, vocabulary, Machine(device="cpu"), folder)
lines = [json.loads(line) for line in (folder / "work" / "metrics.jsonl").open()]
tokens = made.part_rows * values.data_parallel * values.model.context_length
speed = tokens / made.step_seconds
print(json.dumps({"speed": speed, "memory": made.memory_bytes, "losses": [x["loss"] for x in lines]}))
"""


def tried(checkout: Path, shape: dict[str, Any]) -> dict[str, Any]:
    """A revision's speed (tokens a second), memory (bytes) and losses."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", ONE_REVISION]
        command += [json.dumps(shape), str(VOCABULARY), str(Path(folder) / "trial")]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(
            command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(name: str, before: Path, rounds: int) -> dict[str, Any]:
    """Both revisions in turn, the first of them another in each round."""
    runs: dict[str, list[dict[str, Any]]] = {"before": [], "now": []}
    sides = {"before": before, "now": HERE}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            runs[side].append(tried(sides[side], SHAPES[name]))
        losses = [runs[side][-1]["losses"] for side in sides]
        steps = min(map(len, losses))
        if losses[0][:steps] != losses[1][:steps]:
            raise SystemExit(f"{name}: the revisions learn otherwise: {losses}")
    ratios = [
        now["speed"] / then["speed"] for now, then in zip(runs["now"], runs["before"], strict=True)
    ]
    speeds = {
        side: round(statistics.median(one["speed"] for one in made)) for side, made in runs.items()
    }
    memory = {side: max(one["memory"] for one in made) for side, made in runs.items()}
    return {
        "tokens_per_second": speeds,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
        "memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-before-") as folder:
        before = Path(folder) / "checkout"
        add = ["git", "worktree", "add", "--detach", str(before), options.revision]
        subprocess.run(add, cwd=HERE, check=True, capture_output=True)
        try:
            found = {
                name: compare(name, before, options.rounds) for name in options.shape or SHAPES
            }
        finally:
            remove = ["git", "worktree", "remove", "--force", str(before)]
            subprocess.run(remove, cwd=HERE, check=True)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for name, one in found.items():
        speeds = one["tokens_per_second"]
        print(
            f"{name:6} {speeds['before']:,} → {speeds['now']:,} tokens/s, ratio {one['ratio']} "
            f"({min(one['ratios'])} to {max(one['ratios'])})"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
