"""Pretraining of encoders and fine-tuning on one core: positions a second and memory, beside others.

    python benchmarks/finetune.py [--row pretrain-bert|classify|instruct|lora|all] [--rounds 3]
                                  [--revision REVISION] [--texts CSV] [--talks JSONL]

pretrain-bert: six layers of 384 over rows of 128 tokens (masked tokens, dropout 0.1), whole rows and rows
that hold texts of 30 tokens on average, beside a git revision of ours in a temporary worktree; the sides
make each step in turn, and the ratio is the median of the steps'.
classify: the same model on short texts, packed, beside transformers' Trainer, whose batches hold as many texts
and are padded to the longest. instruct: a decoder of eight layers of 384 over rows of 256 tokens, beside TRL's
SFTTrainer with its own packing. lora: the same with adapters of rank 8, beside peft and Trainer on our
rows. Each on one thread of one process, from the same weights on the same texts.

A peer's precision (float32, or bfloat16 by autocast) and its rows a pass are those that were fastest in a
few steps. Positions are of texts: padding does not count. Rounds run each side once, every other round in
reverse order; figures are medians of rounds, ratios of pairs. Memory: the largest resident set of the
process that trains. The last line is JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import torch  # noqa: E402
from finetune_data import (  # noqa: E402
    SHAPES,
    VOCABULARY,
    base,
    labelled,
    talk_shards,
    talks,
    text_shards,
)
from finetune_sides import (  # noqa: E402
    Result,
    filled,
    in_turn,
    ours,
    peer,
    prepared,
    rows_of,
    settings,
)

from llm.tokens.chat import CHAT_TEMPLATE  # noqa: E402

PEERS = {"classify": "transformers' Trainer", "instruct": "TRL", "lora": "peft + Trainer"}
PASSES = {"classify": (1, 4), "instruct": (1, 4, 16), "lora": (1, 4)}  # of a step
TRIED_STEPS = 5


def pretrain_bert(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Ours now beside ours then, with rows end to end and with packed ones."""
    then, found = root / "checkout", {}
    git = ["git", "-C", str(HOME), "worktree"]
    subprocess.run(
        [*git, "add", "-q", "--detach", str(then), options.revision],
        check=True,
        capture_output=True,
    )
    shape = {name: SHAPES["bert"].settings[name] for name in ("layers", "d_model", "heads")}
    shape["context_length"] = SHAPES["bert"].context_length
    if options.width:
        shape |= {"d_model": options.width, "heads": options.width // 64}
    try:
        for packed in (False, True):
            checkouts = {"ours": HOME, options.revision: then}
            runs = in_turn(checkouts, shape, VOCABULARY, packed, options.steps)
            for made in runs.values():
                for one in made:
                    one["positions_per_second"] = one["positions"] / one["seconds"]
            name = "packed" if packed else "whole rows"
            found[name] = told(f"pretrain-bert, {name}", runs)
    finally:
        subprocess.run([*git, "remove", "--force", str(then)], check=True)
    return found


def tuned(task: str, options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Ours beside a peer on a task."""
    shape = SHAPES["bert" if task == "classify" else "decoder"]
    model = base(shape, root)
    texts = labelled(options.texts) if task == "classify" else talks(options.talks)
    shards = text_shards if task == "classify" else talk_shards
    data = shards(root / "data", texts)
    values = settings(task, shape, options.steps)
    packed = prepared(values, model, data, root / "rows")
    rows = rows_of(values, model, packed)
    fill, each = filled(rows)
    per_step = values.batch_tokens // rows.length
    names = ("text", "label") if task == "classify" else ("prompt", "response")
    lines = [dict(zip(names, row, strict=True)) for row in texts]
    if task == "lora":
        lines = labelled_rows(rows)
    (root / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = {
        "task": task,
        "model": str(model / "model"),
        "data": str(root / "rows.jsonl"),
        "length": rows.length,
        "chat_template": CHAT_TEMPLATE,
    }
    of_step = round(per_step * each) if task == "classify" else per_step
    best = fastest(task, job, of_step, root, options.peer_python)
    print(f"{task}: {PEERS[task]} is fastest with {best}", flush=True)
    sides = {
        "ours": lambda: ours(values, model, packed, fill, root / "run"),
        PEERS[task]: lambda: peer(
            {**job, **best, "steps": options.steps}, root, options.peer_python
        ),
    }
    return {**compared(task, sides, options.rounds), "peer_shape": best}


def labelled_rows(rows: Any) -> list[dict[str, Any]]:
    """Packed rows as transformers reads them: labels are of the token itself, not of the next."""
    found = []
    for number in range(len(rows)):
        batch = rows.read(torch.tensor([number]).numpy())
        tokens, targets = batch["tokens"][0].tolist(), batch["targets"][0].tolist()
        found.append({"input_ids": tokens, "labels": [-100, *targets[:-1]]})
    return found


def fastest(
    task: str, job: dict[str, Any], of_step: int, root: Path, python: Path
) -> dict[str, Any]:
    """The precision and the number of passes of a step with which a peer is fastest."""
    tried = []
    for bf16 in (True, False):
        for passes in PASSES[task]:
            how = {"bf16": bf16, "passes": passes, "rows": max(1, of_step // passes)}
            found = peer({**job, **how, "steps": TRIED_STEPS}, root, python)
            tried.append((found["positions_per_second"], how))
    return max(tried, key=lambda one: one[0])[1]


def compared(name: str, sides: dict[str, Any], rounds: int) -> dict[str, Any]:
    """All rounds."""
    runs: dict[str, list[Result]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            runs[side].append(sides[side]())
    return told(name, runs)


def told(name: str, runs: dict[str, list[Result]]) -> dict[str, Any]:
    """The figures of two sides' runs, or steps, that were made in turn; prints a table."""
    mine, other = runs
    pairs = list(zip(runs[mine], runs[other], strict=True))
    ratios = sorted(a["positions_per_second"] / b["positions_per_second"] for a, b in pairs)
    memory = {side: max(one["memory_bytes"] for one in made) for side, made in runs.items()}
    for side, made in runs.items():
        speed = statistics.median(one["positions_per_second"] for one in made)
        loss = made[-1]["loss"]
        print(
            f"{name}, {side}: {speed:,.0f} positions/s, {memory[side] / 1e6:,.0f} MB, loss {loss:.3f}"
        )
    ratio = statistics.median(ratios)
    print(f"{name}: ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)
    return {
        "positions_per_second": {
            side: round(statistics.median(one["positions_per_second"] for one in made))
            for side, made in runs.items()
        },
        "ratio": round(ratio, 3),
        "ratios": [round(ratios[0], 3), round(ratios[-1], 3)],
        "memory_mb": {side: round(held / 1e6) for side, held in memory.items()},
        "memory_ratio": round(memory[mine] / memory[other], 3),
        "loss": {side: round(made[-1]["loss"], 4) for side, made in runs.items()},
        "peer_versions": runs[other][-1].get("versions", {}),
    }


def main() -> None:
    """Run the rows asked for, and print one line of JSON last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = ("pretrain-bert", *PEERS)
    parser.add_argument("--row", choices=[*rows, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs (count)")
    parser.add_argument("--revision", help="of ours, for pretrain-bert", default="2ef9035")
    parser.add_argument("--steps", type=int, default=20, help="of each run of a task (count)")
    parser.add_argument("--width", type=int, help="of pretrain-bert's model, instead of 384")
    parser.add_argument("--texts", type=Path, help="a CSV with the columns text and category")
    parser.add_argument("--talks", type=Path, help="JSON lines with prompt and response")
    parser.add_argument("--peer-python", type=Path, default=HOME / ".venv-bench/bin/python")
    options = parser.parse_args()
    found = {}
    for name in rows if options.row == "all" else (options.row,):
        with tempfile.TemporaryDirectory(prefix="penstock-finetune-") as place:
            root = Path(place)
            made = pretrain_bert if name == "pretrain-bert" else None
            found[name] = made(options, root) if made else tuned(name, options, root)
    print(json.dumps({"benchmark": "finetune", "torch": torch.__version__, "rows": found}))


if __name__ == "__main__":
    main()
