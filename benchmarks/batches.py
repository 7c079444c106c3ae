"""Sampling of training batches: ours beside nanoGPT's get_batch, on the same tokens.

    python benchmarks/batches.py [--tokens 32000000] [--shards 8] [--windows 12000] [--runs 5]

The peer draws as nanoGPT's train.py does: it maps one file of uint16 tokens again for every batch,
draws random places, cuts a slice for each row twice (inputs, targets), turns them to int64 and
stacks them. Ours reads Arrow shards in its shuffled order, each window once. Both end in torch
tensors, for the same number of windows, in turn. Every window of a run is compared with the tokens
that it must hold; time is taken without that. The other packings read more than windows (segments,
padding); they are shown against the same peer. Sizes are nanoGPT's CPU setting, then larger ones.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llm.tokens.batches import Batches
from llm.tokens.shards import ShardColumns, write_shard

SIZES = ((64, 12), (256, 16), (256, 64), (1024, 12))  # context length, rows
OURS: dict[str, dict[str, Any]] = {
    "concat": {},
    "mask": {"document_mask": True},
    "best fit": {"packing": "best_fit"},
    "mix of 4": {"mix": {"s1": 0.5, "s2": 2}},
}
DOCUMENT_TOKENS = 600  # on average
PEER = "nanoGPT"


def prepare(folder: Path, tokens: int, shards: int) -> tuple[np.ndarray[Any, Any], list[Path]]:
    """The same random documents as one flat file and as shards of four sources."""
    random = np.random.default_rng(0)
    paths, parts = [], []
    for number in range(shards):
        lengths = random.integers(1, 2 * DOCUMENT_TOKENS, tokens // shards // DOCUMENT_TOKENS)
        part = random.integers(1, 50_257, int(lengths.sum())).astype(np.uint16)
        part[np.cumsum(lengths) - 1] = 0
        count, source = len(lengths), f"s{number % 4}"
        columns = ShardColumns(
            [bytes(16)] * count, [source] * count, lengths.tolist(), lengths.tolist(), part
        )
        paths.append(folder / f"{number}.arrow")
        write_shard(paths[-1], columns, {})
        parts.append(part)
    stream = np.concatenate(parts)
    stream.tofile(folder / "train.bin")
    return stream, paths


def draw(path: Path, context_length: int, rows: int) -> tuple[Tensor, Tensor]:
    """One batch of random windows of a flat file, as nanoGPT draws it."""
    data = np.memmap(path, dtype=np.uint16, mode="r")
    places = torch.randint(len(data) - context_length, (rows,))
    inputs, targets = (
        torch.stack(
            [
                torch.from_numpy(
                    data[place + shift : place + shift + context_length].astype(np.int64)
                )
                for place in places
            ]
        )
        for shift in (0, 1)
    )
    return inputs, targets


def read(batches: Batches, step: int) -> tuple[Tensor, ...]:
    """One batch of ours."""
    return tuple(torch.from_numpy(part) for part in batches.batch(step) if part is not None)


def check(stream: np.ndarray[Any, Any], paths: list[Path], flat: Path, steps: int) -> int:
    """Compare what both sides give with the tokens they must hold; how many windows that were."""
    compared = 0
    for context_length, rows in SIZES:
        batches = Batches(paths, context_length, rows, seed=1)
        span = np.arange(context_length)
        for step in range(steps):
            state = torch.get_rng_state()
            inputs, targets = draw(flat, context_length, rows)
            torch.set_rng_state(state)
            drawn = torch.randint(len(stream) - context_length, (rows,)).numpy()
            ordered = batches.windows_of(step) * context_length
            for places, got in ((drawn, (inputs, targets)), (ordered, read(batches, step))):
                for shift, part in enumerate(got):
                    expected = stream[places[:, None] + span + shift]
                    assert np.array_equal(part.numpy(), expected), (context_length, rows, step)
            compared += 2 * rows
        # Each window once: what is drawn at random does not have that.
        order = np.concatenate(
            [batches.windows_of(step) for step in range(batches.windows // rows)]
        )
        assert len(np.unique(order)) == len(order)
    return compared


def speed(batch: Callable[[int], object], steps: int, rows: int) -> float:
    """Windows a second over `steps` batches."""
    start = time.perf_counter()
    for step in range(steps):
        batch(step)
    return steps * rows / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=32_000_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--windows", type=int, default=12_000, help="windows of a size and run")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        stream, paths = prepare(Path(scratch), arguments.tokens, arguments.shards)
        flat = Path(scratch) / "train.bin"
        print(f"{len(stream):,} tokens in {len(paths)} shards")
        print(f"{check(stream, paths, flat, 20):,} windows of both sides hold the right tokens")
        print(
            f"{'windows/s':16}" + "".join(f"{name:>10}" for name in (PEER, *OURS)) + "  concat by"
        )
        sizes = {}
        for context_length, rows in SIZES:
            steps = arguments.windows // rows
            sides: dict[str, Callable[[int], object]] = {
                PEER: lambda _, size=(context_length, rows): draw(flat, *size)  # type: ignore[misc]
            }
            for name, options in OURS.items():
                made = Batches(paths, context_length, rows, 1, **options)
                sides[name] = lambda step, made=made: read(made, step)  # type: ignore[misc]
            speeds: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(arguments.runs):
                for name, batch in sides.items():
                    speeds[name].append(speed(batch, steps, rows))
            ratios = {
                name: statistics.median(
                    ours / peer for ours, peer in zip(found, speeds[PEER], strict=True)
                )
                for name, found in speeds.items()
            }
            size = f"T {context_length}, B {rows}"
            medians = {name: statistics.median(found) for name, found in speeds.items()}
            shown = "".join(f"{value:>10,.0f}" for value in medians.values())
            print(f"{size:16}{shown}{ratios['concat']:>10.1f}x", flush=True)
            sizes[size] = {
                "ours": round(medians["concat"]),
                "peers": {PEER: round(medians[PEER])},
                "ratios": {name: round(ratios[name], 1) for name in OURS},
            }
    least = min(size["ratios"]["concat"] for size in sizes.values())  # type: ignore[index]
    line = {"benchmark": "batches", "unit": "windows/s", "ratio": least, "sizes": sizes}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
