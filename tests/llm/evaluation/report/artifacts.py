"""Artifacts of a run as the report reads them, made by hand."""

import json
import math
from pathlib import Path

import numpy as np

from llm.evaluation.result import rows
from llm.evaluation.result import write as write_result
from llm.evaluation.suite import BITS_PER_BYTE, Kind
from llm.step import Context
from llm.tokens.shards import ShardColumns, write_shard
from tests.llm.evaluation.models import write_model

FUNNEL = [
    {"outcome": "in", "reason": "", "documents": 512, "bytes": 2_450_000},
    {"outcome": "dropped", "reason": "near_duplicate", "documents": 31, "bytes": 190_000},
    {"outcome": "dropped", "reason": "too_few_words", "documents": 12, "bytes": 3_000},
    {"outcome": "kept", "reason": "", "documents": 469, "bytes": 2_257_000},
]


def put(folder: Path, name: str, value: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / name).write_text(text)
    return folder


def curve(steps: int, floor: float) -> str:
    random = np.random.default_rng(steps)
    points = [
        {
            "step": step,
            "tokens": 4096 * step,
            "loss": floor + 5.5 * math.exp(-step / steps * 6) + random.normal(0, 0.08),
            "lr": 0.002,
            "grad_norm": 1.0,
            "tokens_per_second": 20000.0 + random.normal(0, 500),
        }
        for step in range(1, steps + 1)
    ]
    return "".join(json.dumps(point) + "\n" for point in points)


NATS = Kind("nats_per_token", "nats per token", "lower")
BYTES = 75_000
TITLES = {
    "uniform": "every byte alike",
    "bigram": "byte bigram",
    "ngram5": "byte 5-gram",
    "xz": "xz -9e alone",
    "xz_primed": "xz -9e after training text",
}


def result(folder: Path, protocol: str, group: str, *figures: tuple[Kind, float]) -> Path:
    """A suite's or a baseline's artifact of one item, so that nothing has an interval."""
    folder.mkdir()
    tables = [
        rows(kind.name, ["all"], [group], [value * BYTES], [BYTES]) for kind, value in figures
    ]
    kinds = [kind for kind, _ in figures]
    write_result(Context(out=folder, work=folder), "x", kinds, tables, protocol)
    return folder


def bits(folder: Path, value: float, protocol: str = "26 documents, context 256") -> Path:
    return result(folder, protocol, "docs", (BITS_PER_BYTE, value))


def answers(folder: Path, nats: float) -> Path:
    return result(folder, "answers only", "ask-docs", (NATS, nats), (BITS_PER_BYTE, 2.9))


def texts(folder: Path, *written: dict) -> Path:
    return put(result(folder, "seed 0", ""), "samples.json", list(written))


def everything(tmp_path: Path) -> dict[str, list[Path]]:
    write_model(tmp_path / "pretrain")
    put(tmp_path / "pretrain", "metrics.jsonl", curve(730, 2.6))
    write_model(tmp_path / "finetune", seed=2)
    put(tmp_path / "finetune", "metrics.jsonl", curve(60, 1.9))
    (tmp_path / "tokens").mkdir()
    for split, count in (("train", 700_000), ("validation", 31_000)):
        columns = ShardColumns([b"x" * 16], ["docs"], [3], [1], np.array([1], np.uint16))
        sources = {"docs": {"documents": 460, "bytes": 3 * count, "tokens": count}}
        write_shard(tmp_path / f"tokens/{split}.arrow", columns, {"sources": sources})
    figures = {"uniform": 8.0, "bigram": 3.41, "ngram5": 1.93, "xz": 2.46, "xz_primed": 1.51}
    base_text = {"prompt": "Return ", "text": "the value <b>x</b>\n  & so", "ended": False}
    tuned_text = {
        "prompt": "What does os.path.join do?",
        "text": "Joins the paths <script>alert(1)</script>",
        "ended": True,
        "reference": "Join two or more pathname components.",
    }
    return {
        "funnel": [put(tmp_path / "decide", "funnel.json", {"rows": FUNNEL})],
        "duplicates": [put(tmp_path / "duplicates", "planted.json", DUPLICATES)],
        "contamination": [
            put(tmp_path / "hits-0", "planted.json", contamination(25, 0)),
            put(tmp_path / "hits-1", "planted.json", contamination(20, 2)),
        ],
        "pretrain": [tmp_path / "pretrain"],
        "finetune": [tmp_path / "finetune"],
        "proof": [proof(tmp_path / "proof")],
        "tokens": [tmp_path / "tokens"],
        "perplexity.base": [bits(tmp_path / "base", 2.11)],
        "perplexity.ask-docs": [bits(tmp_path / "tuned", 2.37)],
        **{
            f"baselines.{name}": [bits(tmp_path / name, value, "same bytes")]
            for name, value in figures.items()
        },
        "answers.base": [answers(tmp_path / "ab", 4.71)],
        "answers.ask-docs": [answers(tmp_path / "at", 2.84)],
        "samples.base": [texts(tmp_path / "sb", base_text)],
        "samples.ask-docs": [texts(tmp_path / "st", tuned_text)],
    }


def proof(folder: Path) -> Path:
    """What the step prove writes for the report."""
    counts = {"tokens": 100, "trained": 30, "masked": 60, "dropped": 10, "examples": 8}
    counts |= {"left_out": 1, "cut": 1, "compared": 8}
    put(folder, "proof.json", {"splits": {"train": counts}})
    pieces = [["masked", "<|im_start|>user\n<b>&"], ["trained", "yes<|im_end|>"]]
    example = {"place": "talks.jsonl, line 3", "pieces": [*pieces, ["cut", "10 tokens"]]}
    rows = [{"split": "train", "row": 5, "examples": [example], "more": 7}]
    return put(folder, "shown.json", {"rows": rows})


DUPLICATES = {
    "threshold": 0.8,
    "due": 128,
    "due_found": 125,
    "wrong": 0,
    "recall": 0.9766,
    "precision": 1.0,
    "bands": [
        {"from": 0.75, "to": 0.8, "documents": 30, "theory": 0.62, "met": 0.6, "found": 0.0},
        {"from": 0.8, "to": 0.85, "documents": 64, "theory": 0.92, "met": 0.95, "found": 0.9531},
        {"from": 0.95, "to": 1.0, "documents": 0, "theory": None, "met": None, "found": None},
    ],
}


def contamination(found: int, misses: int) -> dict:
    return {
        "kinds": {kind: {"planted": 25, "found": found} for kind in ("verbatim", "edited")},
        "near_misses": {"shuffled": {"planted": 25, "found": misses}},
    }
