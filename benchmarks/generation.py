"""Samples and held-out answers of a demo's models, beside an earlier revision, on the same artifacts.

    PENSTOCK_HOME=/tmp/home penstock run demo --set pretrain.tokens=200000
    python benchmarks/generation.py REVISION --home /tmp/home [--rounds 3]

Runs the steps `samples` and `answers` of both revisions in turn, each in a process of its own that
has the models read once before. Seconds and processor seconds of a step, the median; the ratio is the
median of each round's. Checks that greedy text is the same and answers' figures agree. The last line
is JSON.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from llm.examples.settings import CONVERSATIONS  # noqa: E402
from llm.examples.shards import Shard  # noqa: E402

STEPS = ("samples", "greedy samples", "answers")
ONE_REVISION = """
import json, sys, tempfile, time
from pathlib import Path
from llm.models import folder
from llm.step import Context

base, tuned, data = map(Path, sys.argv[1:])
try:
    from llm.evaluation.suite import Measure
    from llm.evaluation.suites import answers, samples

    def values(settings, tasks=("task",)):
        return Measure(settings=settings, validation_fraction=0.05, tasks=tasks)

    def calls_of(settings):
        asked = ((base, (), {}), (tuned, ("task",), {"data": [data]}))
        return [
            (samples.measure, values(settings, tasks), {"model": [model], **more}, "samples.json")
            for model, tasks, more in asked
        ]

    answered = {"model": [tuned], "data": [data]}
    calls = {
        "samples": calls_of(samples.SampleSettings()),
        "greedy samples": calls_of(samples.SampleSettings(temperature=0.0)),
        "answers": [(answers.measure, values(answers.AnswerSettings()), answered, "metrics.json")],
    }
except ImportError:  # a revision before suites had one shape
    from llm.evaluation import answers, samples
    from llm.evaluation.answers_settings import MeasureAnswers
    from llm.evaluation.samples_settings import SampleSettings

    written = {"model": [base], "tuned": [tuned], "data": [data]}
    greedy = SampleSettings(temperature=0.0)
    answered = {"model": [tuned], "data": [data]}
    calls = {
        "samples": [(samples.generate, SampleSettings(), written, "samples.json")],
        "greedy samples": [(samples.generate, greedy, written, "samples.json")],
        "answers": [(answers.measure, MeasureAnswers(), answered, "metrics.json")],
    }
folder.load(base / "model")
found = {}
for name, steps in calls.items():
    with tempfile.TemporaryDirectory() as out:
        begin, processor = time.perf_counter(), time.process_time()
        made = []
        for step, values, inputs, file in steps:
            step(values, inputs, Context(out=Path(out), work=Path(out)))
            made.append(json.loads((Path(out) / file).read_text()))
        seconds = time.perf_counter() - begin
        processor = time.process_time() - processor
        found[name] = {"seconds": seconds, "processor": processor, "made": made}
print(json.dumps(found))
"""


def artifact(home: Path, step: str) -> Path:
    """The one artifact of a step."""
    found = [*(home / "store" / "artifacts" / step).iterdir()]
    if len(found) != 1:
        raise SystemExit(f"{home} has {len(found)} artifacts of {step}: run one demo in a new home")
    return found[0]


def with_lines(data: Path, target: Path) -> Path:
    """A copy of example shards that has them as JSON lines too, as earlier revisions read them."""
    shutil.copytree(data, target)
    with (target / "validation.jsonl").open("w") as lines:
        for example in Shard.open(target / "validation.arrow").examples(CONVERSATIONS):
            lines.write(json.dumps({"messages": example.cells[0]}) + "\n")
    return target


def measured(checkout: Path, inputs: list[Path]) -> dict[str, Any]:
    """What a revision's steps made of the artifacts, and how long they took."""
    command = [sys.executable, "-c", ONE_REVISION, *map(str, inputs)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def check(before: dict[str, Any], now: dict[str, Any]) -> None:
    """The greedy text is the same, and held-out answers are as likely, up to rounding."""
    if texts(before) != texts(now):
        raise SystemExit("the revisions write other text at temperature 0")
    losses = [loss(one) for one in (before, now)]
    if abs(losses[0] - losses[1]) > 1e-5:
        raise SystemExit(f"the revisions find other answers likely: {losses}")


def texts(found: dict[str, Any]) -> list[str]:
    """The greedy texts, whichever shape the revision's result has."""
    made = found["greedy samples"]["made"]
    parts = [one["samples"] if isinstance(one, dict) else one for one in made]
    return [sample["text"] for part in parts for sample in part]


def loss(found: dict[str, Any]) -> float:
    """Nats for each token of the answers, whichever shape the revision's result has."""
    [made] = found["answers"]["made"]
    figures = made.get("figures")
    return float(figures["nats_per_token"]["value"] if figures else made["nats_per_token"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    base, tuned, data = (
        artifact(asked.home, step) for step in ("pretrain", "finetune", "examples")
    )
    rounds = []
    with tempfile.TemporaryDirectory() as aside:
        inputs = [base, tuned, with_lines(data, Path(aside) / "data")]
        checkout = Path(aside) / "before"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(checkout), asked.revision], check=True)
        try:
            for _ in range(asked.rounds):
                rounds.append((measured(checkout, inputs), measured(HERE, inputs)))
                check(*rounds[-1])
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
    result: dict[str, Any] = {"revision": asked.revision, "python": platform.python_version()}
    print(f"{'step':<16}{'before':>20}{'now':>20}{'ratio':>8}")
    for step in STEPS:
        row: dict[str, Any] = {
            "ratio": statistics.median(
                before[step]["seconds"] / now[step]["seconds"] for before, now in rounds
            )
        }
        for side, name in enumerate(("before", "now")):
            for unit in ("seconds", "processor"):
                row[f"{name}_{unit}"] = statistics.median(one[side][step][unit] for one in rounds)
        result[step] = row
        shown = [
            f"{row[f'{side}_seconds']:.2f} s ({row[f'{side}_processor']:.2f})"
            for side in ("before", "now")
        ]
        print(f"{step:<16}{shown[0]:>20}{shown[1]:>20}{row['ratio']:>8.1f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
