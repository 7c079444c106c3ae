"""Pretraining on the CPU: tokens a second and what is learned, beside nanoGPT's loop.

    python benchmarks/training.py [--setting tiny|d384|vocabulary] [--runs 3] [--steps N]

tiny: nanoGPT's CPU setting on Shakespeare's characters, trained to the end on three seeds; both are
scored on the same 200 batches of the validation text. d384: six layers of 384 over rows of 256
characters. vocabulary: the same over 32,768 words, where the head is most of the work; its text is
drawn from a Zipf distribution, as only time and memory are looked at. Ours is the pretrain step as a
run starts it (torchrun, a process a core, checkpoints and logs written); the peer uses all cores as
threads of one process, as it does by itself. Timed are the steps from the fourth on. Memory is the
proportional set size of all processes of a side at its highest. bf16 is run where the processor
multiplies it.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

from llm.models.config import ModelConfig, ModelSettings  # noqa: E402
from llm.step import Context, Machine, PrintReporter  # noqa: E402
from llm.tokens.shards import ShardColumns, write_shard  # noqa: E402
from llm.training.optimizer import OptimizerSettings  # noqa: E402
from llm.training.pretrain import PretrainSettings, pretrain  # noqa: E402
from llm.training.schedule import ScheduleSettings  # noqa: E402
from llm.training.work import METRICS  # noqa: E402

TEXT = HOME.parent / "shared" / "data" / "lm" / "tinyshakespeare" / "input.txt"
PEER = Path(__file__).with_name("nanogpt_peer.py")
CORES = 2
WARM_UP = 3  # steps that are not timed
BATCHES = 200  # of the validation text
FINAL = 0.1  # of the highest learning rate, after the last step


@dataclass(frozen=True)
class Setting:
    """One shape of model and batch."""

    layers: int
    d_model: int
    heads: int
    context_length: int
    rows: int
    steps: int
    peak_lr: float
    vocabulary: int | None  # None: the text's characters
    scored: bool


SETTINGS = {
    "tiny": Setting(4, 128, 4, 64, 12, 2000, 1e-3, None, True),
    "d384": Setting(6, 384, 6, 256, 16, 16, 1e-3, None, False),
    "vocabulary": Setting(6, 384, 6, 256, 16, 10, 1e-3, 32_768, False),
}


@dataclass(frozen=True)
class Data:
    """Where the tokens lie, for both sides."""

    folder: Path
    vocabulary: int
    starts: Path | None  # (BATCHES, rows) first tokens of the validation rows


def prepare(setting: Setting, folder: Path) -> Data:
    """Write the same tokens as plain numbers and as shards, with a tokenizer of one word a token."""
    random = np.random.default_rng(0)
    if setting.vocabulary is None:
        text = TEXT.read_text() if TEXT.exists() else Path(argparse.__file__).read_text() * 12
        words = sorted(set(text))
        numbers = {word: number for number, word in enumerate(words)}
        ids = np.array([numbers[character] for character in text], dtype=np.uint16)
    else:
        words = [f"<{number}>" for number in range(setting.vocabulary)]
        ids = ((random.zipf(1.2, 2_000_000) - 1) % setting.vocabulary).astype(np.uint16)
    cut = int(0.9 * len(ids))
    splits = {"train": ids[:cut], "validation": ids[cut:]}
    (folder / "tokens").mkdir(parents=True)
    (folder / "tokenizer").mkdir()
    for name, tokens in splits.items():
        tokens.tofile(folder / f"{name}.bin")
        columns = ShardColumns([bytes(16)], ["text"], [len(tokens)], [len(tokens)], tokens)
        write_shard(folder / "tokens" / f"{name}.arrow", columns, {"tokenizer": "words"})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    starts = None
    if setting.scored:
        starts = folder / "starts.npy"
        last = len(splits["validation"]) - setting.context_length - 1
        np.save(starts, random.integers(0, last, (BATCHES, setting.rows)))
    return Data(folder, len(words), starts)


def settings_of(setting: Setting, steps: int, seed: int, precision: str) -> PretrainSettings:
    """The recipe's section for the same model, optimizer and schedule as the peer's."""
    tokens = setting.rows * setting.context_length
    return PretrainSettings(
        model=ModelSettings(
            preset="nanogpt-tiny",
            layers=setting.layers,
            d_model=setting.d_model,
            heads=setting.heads,
            context_length=setting.context_length,
        ),
        tokens=steps * tokens,
        batch_tokens=tokens,
        schedule=ScheduleSettings(
            type="cosine",
            peak_lr=setting.peak_lr,
            warmup_tokens=min(100, steps) * tokens,
            final_lr_fraction=FINAL,
        ),
        optimizer=OptimizerSettings(betas=(0.9, 0.99), weight_decay=0.1),
        precision=precision,
        data_parallel=CORES,
        seed=seed,
        checkpoint_every=steps,
    )


def ours(setting: Setting, data: Data, steps: int, seed: int, precision: str) -> dict[str, Any]:
    """The pretrain step, whole; what the steps after the first few took."""
    with tempfile.TemporaryDirectory(prefix="penstock-training-") as name:
        folder = Path(name)
        for part in ("out", "work"):
            (folder / part).mkdir()
        machine = Machine(processes=CORES, device="cpu", micro_batch=max(1, setting.rows // CORES))
        context = Context(
            out=folder / "out", work=folder / "work", machine=machine, report=PrintReporter()
        )
        values = settings_of(setting, steps, seed, precision)
        inputs = {"tokens": [data.folder / "tokens"], "tokenizer": [data.folder / "tokenizer"]}
        with watched() as memory:
            pretrain(values, inputs, context)
        lines = (context.out / METRICS).read_text().splitlines()
        points = [json.loads(line) for line in lines]
        tokens = setting.rows * setting.context_length
        seconds = [tokens / point["tokens_per_second"] for point in points[WARM_UP:]]
        return {
            "tokens_per_second": tokens * len(seconds) / sum(seconds),
            "memory": memory.peak,
            "loss": points[-1]["loss"],
            "val": score(context.out / "model", setting, data) if data.starts else None,
        }


@torch.no_grad()
def score(folder: Path, setting: Setting, data: Data) -> float:
    """Mean loss on the validation rows that the peer is scored on too."""
    from llm.models.folder import load_model

    model = load_model(folder).eval()
    ids = np.fromfile(data.folder / "validation.bin", dtype=np.uint16).astype(np.int64)
    inside = np.arange(setting.context_length + 1)
    losses = []
    for starts in np.load(str(data.starts)):
        rows = torch.from_numpy(ids[starts[:, None] + inside])
        losses.append(float(model.loss(rows[:, :-1], rows[:, 1:])) / rows[:, 1:].numel())
    return statistics.fmean(losses)


def peer(
    setting: Setting, data: Data, steps: int, seed: int, precision: str, compiled: bool = False
) -> dict[str, Any]:
    """nanoGPT's loop on the same tokens."""
    job = {
        "layers": setting.layers,
        "d_model": setting.d_model,
        "heads": setting.heads,
        "context_length": setting.context_length,
        "rows": setting.rows,
        "vocabulary": data.vocabulary,
        "steps": steps,
        "schedule_steps": steps,
        "warmup_steps": min(100, steps),
        "peak_lr": setting.peak_lr,
        "least_lr": setting.peak_lr * FINAL,
        "beta2": 0.99,
        "precision": precision,
        "compile": compiled,
        "seed": seed,
        "threads": CORES,
        "train": str(data.folder / "train.bin"),
        "validation": str(data.folder / "validation.bin") if data.starts else None,
        "validation_starts": str(data.starts),
    }
    path = data.folder / "peer.json"
    path.write_text(json.dumps(job))
    with watched() as memory:
        done = subprocess.run(
            [sys.executable, str(PEER), str(path)], capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"the peer failed: {done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "memory": memory.peak}


class watched:
    """Watches how much memory the processes below this one take (bytes) while a block runs."""

    def __enter__(self) -> "watched":
        self.peak, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # it ended while it was looked at
            self.peak = max(self.peak, total)


def gemm_peak(precision: str) -> float:
    """Floating-point operations a second of a large matrix product on all cores."""
    torch.set_num_threads(CORES)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(2048, 2048).to(kind) for _ in range(2))
    best = math.inf
    for _ in range(8):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best


def run(name: str, runs: int, steps: int) -> dict[str, Any]:
    """All runs of a setting, ours and the peers in turn; prints a table."""
    setting = SETTINGS[name]
    bf16 = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    precision = "bf16" if bf16 else "fp32"
    kinds = {"nanoGPT loop, fp32": ("fp32", False)}
    if bf16:
        kinds["nanoGPT loop, bf16"] = ("bf16", False)
    rows: dict[str, list[dict[str, Any]]] = {"ours": [], **{kind: [] for kind in kinds}}
    peaks = []
    with tempfile.TemporaryDirectory(prefix="penstock-training-data-") as folder:
        data = prepare(setting, Path(folder))
        config = settings_of(setting, steps, 1, precision).model.resolve(data.vocabulary)
        for number in range(runs):
            peaks.append(gemm_peak(precision))
            rows["ours"].append(ours(setting, data, steps, number + 1, precision))
            for kind, (type_, compiled) in kinds.items():
                rows[kind].append(peer(setting, data, steps, number + 1, type_, compiled))
    return report(name, rows, config, setting, precision, statistics.median(peaks))


def report(
    name: str,
    rows: dict[str, list[dict[str, Any]]],
    config: ModelConfig,
    setting: Setting,
    precision: str,
    peak: float,
) -> dict[str, Any]:
    """Print the table; the line of JSON for one setting."""
    print(f"\n{name}: {setting.layers} layers of {setting.d_model}, ours in {precision}")
    print(f"{'':<22} {'tokens/s':>10} {'memory':>10} {'loss':>8} {'val':>8}")
    for side, results in rows.items():
        for result in results:
            val = "" if result["val"] is None else f"{result['val']:.4f}"
            print(
                f"{side:<22} {result['tokens_per_second']:>10,.0f} "
                f"{result['memory'] / 1e9:>7.2f} GB {result['loss']:>8.4f} {val:>8}"
            )

    def middle(side: str, field: str) -> float:
        return statistics.median(result[field] for result in rows[side])

    peers = [side for side in rows if side != "ours"]
    best = max(peers, key=lambda side: middle(side, "tokens_per_second"))
    speed = middle("ours", "tokens_per_second")
    found: dict[str, Any] = {
        "ours": round(speed),
        "peers": {side: round(middle(side, "tokens_per_second")) for side in peers},
        "ratio": round(paired(rows["ours"], rows[best], "tokens_per_second"), 2),
        "memory_ratio": round(paired(rows["ours"], rows[best], "memory"), 2),
        "of_gemm_peak": round(
            speed * config.training_flops_per_token(setting.context_length) / peak, 3
        ),
    }
    if setting.scored:
        found["val"] = {
            side: round(statistics.fmean(result["val"] for result in results), 4)
            for side, results in rows.items()
        }
    return found


def paired(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], field: str) -> float:
    """Median of the runs' ratios."""
    return statistics.median(a[field] / b[field] for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Run the settings asked for, and print one line of JSON last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=SETTINGS, action="append")
    parser.add_argument("--runs", type=int, default=3, help="paired runs (count)")
    parser.add_argument("--steps", type=int, help="steps of each run, instead of the setting's")
    options = parser.parse_args()
    found = {}
    for name in options.setting or SETTINGS:
        found[name] = run(name, options.runs, options.steps or SETTINGS[name].steps)
    first = next(iter(found.values()))
    result = {
        "benchmark": "training",
        "unit": "tokens/s",
        **{key: first[key] for key in ("ours", "peers", "ratio")},
        "settings": found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
