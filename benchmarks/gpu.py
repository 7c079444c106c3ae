"""Training on one GPU: tests, speed at 124M parameters, and nanoGPT's setting for Shakespeare.

    python benchmarks/gpu.py --limit 570 --out gpu-results --data tinyshakespeare/input.txt

checks: the tests marked `gpu`. speed: GPT-2 small (124M), 480 rows of 1,024 tokens a step, in bf16 and
compiled, for several micro-batches; then sharded (FSDP2 on one device), and not compiled. Tokens are
drawn from a Zipf distribution, as only time and memory are looked at. Timed are the steps from the
fourth on: the first ones compile. profile: the kernels that the fastest of these spends its time in.
characters: nanoGPT's GPU setting (6 layers of 384, rows of 256 characters, 64 a step, dropout 0.2,
5,000 steps), measured on the whole validation text every 250 steps; --data is that text.

Runs are processes of their own, started as a pretrain step starts them (torchrun, checkpoints and
logs written). --limit: when it is over (seconds), what runs is ended and the rest left out; what was
found until then is told. Everything printed is in gpu.log in --out, too; the last line is JSON.
--device cpu --tiny goes through all of it on small models, to see that it works. It needs torch,
numpy, pyarrow, tokenizers, safetensors and, for the checks, pytest.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer, models  # noqa: E402

from llm.machine import Machine  # noqa: E402
from llm.models.config import ModelSettings  # noqa: E402
from llm.step import Context, Inputs, PrintReporter  # noqa: E402
from llm.tokens.shards import ShardColumns, write_shard  # noqa: E402
from llm.training.optimizers.settings import OptimizerSettings  # noqa: E402
from llm.training.pretrain.settings import PretrainSettings  # noqa: E402
from llm.training.pretrain.step import prepare  # noqa: E402
from llm.training.ranks import launch  # noqa: E402
from llm.training.scaling.peaks import peak_flops  # noqa: E402
from llm.training.schedule import ScheduleSettings  # noqa: E402
from llm.training.work import LOG, METRICS  # noqa: E402

WARM_UP = 3  # steps that are not timed
GOAL_MFU = 0.5
GOAL_LOSS = 1.4697  # nanoGPT's README: best validation loss of this setting
TESTS = "tests/llm/training/test_gpu.py"


@dataclass(frozen=True)
class Sizes:
    """How large everything is: as the goals say, or tiny."""

    speed: ModelSettings
    rows: int  # of a step
    steps: int
    vocabulary: int
    tokens: int
    micro_batches: tuple[int, ...]
    characters: ModelSettings
    character_rows: int
    character_steps: int
    measured_every: int


FULL = Sizes(
    speed=ModelSettings(preset="gpt2-small"),
    rows=480,
    steps=13,
    vocabulary=50_257,
    tokens=10_000_000,
    micro_batches=(32, 60, 96),
    characters=ModelSettings(
        preset="nanogpt-tiny", layers=6, d_model=384, heads=6, context_length=256, dropout=0.2
    ),
    character_rows=64,
    character_steps=5000,
    measured_every=250,
)
TINY = Sizes(
    speed=ModelSettings(preset="gpt2-small", layers=2, d_model=32, heads=2, context_length=32),
    rows=8,
    steps=5,
    vocabulary=300,
    tokens=5_000,
    micro_batches=(2, 4),
    characters=ModelSettings(
        preset="nanogpt-tiny", layers=1, d_model=32, heads=2, context_length=32, dropout=0.2
    ),
    character_rows=8,
    character_steps=12,
    measured_every=4,
)


class OutOfTime(Exception):
    """The time limit is over."""


class Bench:
    """What all parts share: the device, where things lie, the clock and the log."""

    def __init__(self, options: argparse.Namespace, folder: Path, log: TextIO) -> None:
        self.device: str = options.device
        self.tiny: bool = options.tiny
        self.sizes = TINY if options.tiny else FULL
        self.data: Path | None = options.data
        self.folder, self.log = folder, log
        self.end = time.monotonic() + options.limit

    def say(self, text: str) -> None:
        """Print a line, and keep it."""
        for stream in (sys.stdout, self.log):
            print(text, file=stream, flush=True)

    def command(self, arguments: list[str]) -> tuple[int, str]:
        """Run Python in a session of its own until the limit; its status and what it printed."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=max(1.0, self.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            self.say(output)
            raise OutOfTime from None
        return process.returncode, output

    def train(
        self, name: str, values: PretrainSettings, inputs: Inputs, machine: Machine
    ) -> list[dict[str, Any]]:
        """Train as a pretrain step does; the lines of metrics. Raises OutOfTime at the limit."""
        work = self.folder / name
        work.mkdir()
        context = Context(out=work, work=work, report=PrintReporter(), machine=machine)
        job = prepare(values, inputs, context)

        def ring(number: int, frame: object) -> None:
            raise OutOfTime

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(1.0, self.end - time.monotonic()))
        try:
            launch.run("llm.training.pretrain.step", job, context, 1, values.steps)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.log.write((work / LOG).read_text(errors="replace"))
        return [json.loads(line) for line in (work / METRICS).read_text().splitlines()]


def write_data(folder: Path, ids: np.ndarray, words: list[str]) -> Inputs:
    """Token shards of nine tenths and of one tenth of the ids, and a tokenizer of one word a token."""
    kind = np.uint16
    cut = int(0.9 * len(ids))
    for part in ("tokens", "tokenizer"):
        (folder / part).mkdir(parents=True)
    for name, tokens in (("train", ids[:cut]), ("validation", ids[cut:])):
        columns = ShardColumns(
            [bytes(16)], ["text"], [len(tokens)], [len(tokens)], tokens.astype(kind)
        )
        write_shard(folder / "tokens" / f"{name}.arrow", columns, {"tokenizer": "words"})
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, words[0]))
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return {"tokens": [folder / "tokens"], "tokenizer": [folder / "tokenizer"]}


def checks(bench: Bench) -> dict[str, Any]:
    """The tests that need a GPU; on the CPU, the same functions there."""
    marks = "gpu" if bench.device == "cuda" else "not gpu"
    status, output = bench.command(["-m", "pytest", "-q", "-rs", "-m", marks, TESTS])
    bench.say(output)
    return {"status": status, "summary": output.strip().splitlines()[-1]}


def speed(bench: Bench) -> dict[str, Any]:
    """Tokens a second, MFU and memory of the 124M model, by micro-batch and by way."""
    sizes = bench.sizes
    words = [f"<{number}>" for number in range(sizes.vocabulary)]
    drawn = np.random.default_rng(0).zipf(1.2, sizes.tokens) - 1
    inputs = write_data(bench.folder / "zipf", drawn % sizes.vocabulary, words)
    batch = sizes.rows * sizes.speed.context_length
    values = PretrainSettings(
        model=sizes.speed,
        tokens=sizes.steps * batch,
        batch_tokens=batch,
        schedule=ScheduleSettings(type="cosine", peak_lr=6e-4, warmup_tokens=batch),
        data_parallel=1,
        checkpoint_every=10 * sizes.steps,
    )
    base = Machine(device=bench.device, micro_batch=sizes.micro_batches[0])
    ways = {f"micro-batch {rows}": replace(base, micro_batch=rows) for rows in sizes.micro_batches}
    ways["fsdp"] = replace(base, parallelism="fsdp")
    ways["not compiled"] = replace(base, compile=False)
    found: dict[str, Any] = {}
    bench.say(f"{'':<16} {'tokens/s':>12} {'MFU':>7} {'memory':>9} {'loss':>8}")
    for name, machine in ways.items():
        try:
            lines = bench.train(f"speed {name}", values, inputs, machine)
        except OutOfTime:
            found["left out"] = [way for way in ways if way not in found]
            break
        steady = lines[WARM_UP:]
        rate = statistics.median(line["tokens_per_second"] for line in steady)
        mfu = statistics.median(line["mfu"] for line in steady) if steady[0]["mfu"] else None
        memory = max(line["memory_bytes"] for line in steady)
        found[name] = {"tokens_per_second": rate, "mfu": mfu, "memory_bytes": memory}
        told = "unknown" if mfu is None else f"{mfu:.3f}"
        bench.say(
            f"{name:<16} {rate:>12,.0f} {told:>7} {memory / 1e9:>6.2f} GB {lines[-1]['loss']:>8.4f}"
        )
    return found


def profile(bench: Bench) -> dict[str, Any]:
    """Where the time of a few passes goes; the table is in the log."""
    status, output = bench.command([__file__, *bench_options(bench), "--profile-here"])
    bench.say(output)
    return {"status": status}


def bench_options(bench: Bench) -> list[str]:
    """Options that say the same device and sizes."""
    return ["--device", bench.device, *(["--tiny"] if bench.tiny else [])]


def profile_here(device: str, sizes: Sizes) -> None:
    """Profile three forward and backward passes of the speed model; prints the dearest kernels."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    from llm.models.build import build
    from llm.training.devices import choose, compute_type
    from llm.training.ways.compiling import compile_model

    there = choose(device)
    model = build(sizes.speed.resolve(sizes.vocabulary), compute_type("auto", there))
    model.initialise(1)
    model.to(there)
    if there.type == "cuda":
        compile_model(model)
    shape = (sizes.micro_batches[0], sizes.speed.context_length)
    rows = torch.randint(0, sizes.vocabulary, shape, device=there)

    def passes(count: int) -> None:
        for _ in range(count):
            model.loss(rows, rows).backward()
        if there.type == "cuda":
            torch.cuda.synchronize()

    passes(3)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if there.type == "cuda" else [])]
    with profiled(activities=kinds) as found:
        passes(3)
    key = "cuda_time_total" if there.type == "cuda" else "cpu_time_total"
    print(found.key_averages().table(sort_by=key, row_limit=30, max_name_column_width=70))


def characters(bench: Bench) -> dict[str, Any]:
    """nanoGPT's GPU setting on Shakespeare's characters; the least validation loss of the run."""
    sizes = bench.sizes
    if bench.data is None and not bench.tiny:
        return {"skipped": "no --data"}
    text = bench.data.read_text() if bench.data else Path(__file__).read_text()
    words = sorted(set(text))
    numbers = {word: number for number, word in enumerate(words)}
    ids = np.array([numbers[character] for character in text])
    inputs = write_data(bench.folder / "characters", ids, words)
    batch = sizes.character_rows * sizes.characters.context_length
    values = PretrainSettings(
        model=sizes.characters,
        tokens=sizes.character_steps * batch,
        batch_tokens=batch,
        schedule=ScheduleSettings(
            type="cosine",
            peak_lr=1e-3,
            warmup_tokens=min(100, sizes.character_steps // 2) * batch,
            final_lr_fraction=0.1,
        ),
        optimizer=OptimizerSettings(betas=(0.9, 0.99), weight_decay=0.1),
        data_parallel=1,
        seed=1337,
        checkpoint_every=sizes.character_steps,
        validate_every=sizes.measured_every,
        validation_tokens=len(ids),
    )
    began = time.monotonic()
    machine = Machine(device=bench.device, micro_batch=sizes.character_rows)
    lines = bench.train("shakespeare", values, inputs, machine)
    curve = {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}
    best = min(curve, key=lambda step: curve[step])
    rate = statistics.median(line["tokens_per_second"] for line in lines[WARM_UP:])
    bench.say(f"characters: best {curve[best]:.4f} at step {best}; {rate:,.0f} tokens/s")
    return {
        "best": round(curve[best], 4),
        "best_step": best,
        "last": round(curve[lines[-1]["step"]], 4),
        "curve": {step: round(loss, 4) for step, loss in curve.items()},
        "tokens_per_second": rate,
        "seconds": round(time.monotonic() - began),
    }


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "checks": checks,
    "speed": speed,
    "characters": characters,
    "profile": profile,
}


def run(bench: Bench, names: list[str]) -> dict[str, Any]:
    """All parts in turn; one that fails or has no time left costs itself alone."""
    device = torch.cuda.get_device_name() if bench.device == "cuda" else "cpu"
    result: dict[str, Any] = {
        "benchmark": "gpu",
        "device": device,
        "peak_flops": peak_flops(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
    }
    bench.say(json.dumps(result))
    for name in names:
        began = time.monotonic()
        bench.say(f"== {name}")
        try:
            if began > bench.end:
                raise OutOfTime
            result[name] = PARTS[name](bench)
        except OutOfTime:
            result[name] = {"skipped": "out of time"}
        except Exception as error:
            bench.say(traceback.format_exc())
            result[name] = {"failed": f"{type(error).__name__}: {error}"}
        bench.say(f"== {name}: {time.monotonic() - began:.0f} s")
    ways = [way for way in result.get("speed", {}).values() if isinstance(way, dict)]
    utilisations = [way["mfu"] for way in ways if way.get("mfu")]
    best = result.get("characters", {}).get("best")
    result["goals"] = {
        "checks": result.get("checks", {}).get("status") == 0,
        f"mfu >= {GOAL_MFU}": max(utilisations) >= GOAL_MFU if utilisations else None,
        f"characters <= {GOAL_LOSS}": best <= GOAL_LOSS if best and not bench.tiny else None,
    }
    return result


def main() -> None:
    """Run the parts asked for, and print one line of JSON last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, few steps")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for everything")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part (default: all)")
    parser.add_argument("--data", type=Path, help="the text for characters")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for the log")
    parser.add_argument("--profile-here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.profile_here:
        profile_here(options.device, TINY if options.tiny else FULL)
        return
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here: --device cpu --tiny tries everything without one")
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        (options.out / "gpu.log").open("w") as log,
        tempfile.TemporaryDirectory(prefix="penstock-gpu-") as folder,
    ):
        bench = Bench(options, Path(folder), log)
        bench.say(json.dumps(run(bench, options.only or list(PARTS))))


if __name__ == "__main__":
    main()
