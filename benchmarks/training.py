"""Pretraining on the CPU: tokens a second, memory and what is learned, beside nanoGPT and litgpt.

    python benchmarks/training.py [--setting tiny|tiny-own|d384|vocab32k|all] [--rounds 3] [--steps N]
                                  [--peers nanogpt-bf16 ...] [--first-seed 1]

tiny: nanoGPT's CPU setting on Shakespeare's characters, trained to the end, a seed each round; all are
scored in fp32 on the same 200 batches of the validation text. tiny-own: a recipe of our own choices in
the wall-clock time that nanoGPT's run took, program start to last step, scored on the same rows. d384:
six layers of 384 over rows of 256 characters, with the share of the machine's peak of matrix
products. vocab32k: the same over 32,768 words, with memory.

Ours is the pretrain step as a run starts it (torchrun, a process a core, checkpoints and logs
written), with the product's `precision: auto` unless it says fp32. Peers use all cores as threads of
one process; those in bf16 run where the processor multiplies it, and litgpt's under the Python that
`make bench-setup` makes.

Rounds run every side once, every other round in reverse order; figures are medians of rounds, ratios
of pairs. Tokens a second are by a run's median step, its first few left out: a neighbour on the machine
stretches single steps. wall: from a program's start to the end of its training. Memory: the
proportional set size of all processes of a side at its highest, from short runs of their own.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import torch  # noqa: E402
from gemm import peak  # noqa: E402
from training_data import (  # noqa: E402
    CORES,
    FP32,
    NANO,
    OWN,
    PEERS,
    SETTINGS,
    Data,
    Setting,
    prepare,
    recipe,
)
from training_own import own_recipe  # noqa: E402
from training_sides import Neighbours, Result, Watched, train, within  # noqa: E402

from llm.training.devices import compute_type  # noqa: E402

NAMES = {side.replace(", ", "-").lower(): side for side in PEERS}
WATCHED_STEPS = 4


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of a setting; prints its tables and returns its part of the last line."""
    setting = SETTINGS[name]
    kind = compute_type("auto", torch.device("cpu"))
    half = kind == torch.bfloat16
    wanted = [NAMES[peer] for peer in options.peers] if options.peers else setting.peers
    if OWN in setting.ours:
        wanted = setting.peers  # its clock is the peer's
    peers = [side for side in wanted if half or "bf16" not in side]
    mine = [side for side in setting.ours if half or side != FP32]
    steps = options.steps or setting.steps
    python = {"litgpt_peer.py": str(options.peer_python)}
    runs: dict[str, list[Result]] = {side: [] for side in (*mine, *peers)}
    peaks: list[float] = []
    memory: dict[str, int] = {}
    neighbours = Neighbours()
    with tempfile.TemporaryDirectory(prefix="penstock-training-data-") as folder:
        data = prepare(setting, Path(folder))
        for number in range(options.rounds):
            seed = options.first_seed + number
            if OWN in mine:
                own_round(runs, setting, data, steps, seed)
                continue
            if not setting.scored:
                peaks.append(peak(kind, CORES, setting.tokens, setting.d_model))
            for side in list(runs)[:: -1 if number % 2 else 1]:
                runs[side].append(train(side, setting, data, steps, seed, python))
        for side in runs if setting.watched else ():
            with Watched() as watched:
                train(side, setting, data, min(steps, WATCHED_STEPS), 1, python)
            memory[side] = watched.peak
        config = recipe(setting, steps, 1).model.resolve(data.vocabulary)
    print(
        f"\n{name}: {setting.layers} layers of {setting.d_model}, {steps} steps of {setting.rows} rows "
        f"of {setting.context_length} tokens; ours in {str(kind).removeprefix('torch.')}"
    )
    table(runs, memory)
    elsewhere = neighbours.share()
    print(f"other programs and machines took {elsewhere:.0%} of the cores' time meanwhile")
    found = summary(runs, mine, peers, memory)
    if peaks:
        flops = config.training_flops_per_token(setting.context_length)
        found |= share_of_peak(runs[mine[0]], peaks, flops)
    return {**found, "taken_by_others": round(elsewhere, 3)}


def share_of_peak(results: list[Result], peaks: list[float], flops: int) -> dict[str, Any]:
    """How much of each round's peak of matrix products ours made use of.

    flops: forward and backward of a token; 6 a parameter of a matrix, and 12 an element of a head's
    width for each key that a token sees.
    """
    speeds = [result["tokens_per_second"] for result in results]
    share = statistics.median(s * flops / best for s, best in zip(speeds, peaks, strict=True))
    best = statistics.median(peaks)
    print(f"{flops / 1e6:.1f} MFLOP a token: {share:.1%} of {best / 1e9:.0f} GFLOP/s")
    return {
        "flops_per_token": flops,
        "gemm_peak_gflops": round(best / 1e9, 1),
        "of_gemm_peak": round(share, 3),
    }


def own_round(
    runs: dict[str, list[Result]], setting: Setting, data: Data, steps: int, seed: int
) -> None:
    """nanoGPT's run, and then our own recipe for as long as that took."""
    runs[NANO].append(train(NANO, setting, data, steps, seed, {}))
    seconds = runs[NANO][-1]["wall_seconds"]
    runs[OWN].append(within(seconds, own_recipe(seed, CORES), setting, data))


def table(runs: dict[str, list[Result]], memory: dict[str, int]) -> None:
    """Every run's figures."""
    print(f"{'':<24} {'tokens/s':>10} {'wall':>9} {'loss':>8} {'val':>8} {'memory':>9}")
    for side, results in runs.items():
        for result in results:
            val = "" if result["val"] is None else f"{result['val']:.4f}"
            held = f"{memory[side] / 1e9:.2f} GB" if side in memory else ""
            print(
                f"{side:<24} {result['tokens_per_second']:>10,.0f} {result['wall_seconds']:>7.1f} s "
                f"{result['loss']:>8.4f} {val:>8} {held:>9}"
            )


def summary(
    runs: dict[str, list[Result]], mine: list[str], peers: list[str], memory: dict[str, int]
) -> dict[str, Any]:
    """Medians of rounds, and ratios of pairs: the median, the least and the most."""

    def middle(side: str, field: str) -> float:
        return statistics.median(result[field] for result in runs[side])

    found: dict[str, Any] = {
        "tokens_per_second": {side: round(middle(side, "tokens_per_second")) for side in runs},
        "wall_seconds": {side: round(middle(side, "wall_seconds"), 1) for side in runs},
    }
    if OWN not in mine:
        found["ratios"] = {}
        for side in mine:
            for other in peers:
                pairs = zip(runs[side], runs[other], strict=True)
                ratios = sorted(a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs)
                three = [round(r, 2) for r in (statistics.median(ratios), ratios[0], ratios[-1])]
                found["ratios"][f"{side} / {other}"] = three
                print(f"{side} / {other}: {three[0]} ({three[1]} to {three[2]})")
    if runs[peers[0]][0]["val"] is not None:
        found["val"] = {
            side: round(statistics.fmean(result["val"] for result in results), 4)
            for side, results in runs.items()
        }
        print(f"mean val: {found['val']}")
    if memory:
        found["memory_gb"] = {side: round(held / 1e9, 2) for side, held in memory.items()}
        found["memory_ratio"] = round(memory[mine[0]] / memory[peers[0]], 2)
        print(f"memory, {mine[0]} / {peers[0]}: {found['memory_ratio']}")
    return found


def main() -> None:
    """Run the settings asked for, and print one line of JSON last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=[*SETTINGS, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (count)")
    parser.add_argument("--steps", type=int, help="steps of each run, instead of the setting's")
    parser.add_argument("--peers", choices=NAMES, nargs="+", help="instead of the setting's")
    parser.add_argument("--first-seed", type=int, default=1, help="of the first round")
    parser.add_argument("--peer-python", type=Path, default=HOME / ".venv-bench/bin/python")
    options = parser.parse_args()
    names = list(SETTINGS) if options.setting == "all" else [options.setting]
    found = {name: measure(name, options) for name in names}
    print(json.dumps({"benchmark": "training", "torch": torch.__version__, "settings": found}))


if __name__ == "__main__":
    main()
