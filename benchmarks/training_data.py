"""What `benchmarks/training.py` trains: the settings, and the same tokens for every side."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from llm.models.config import ModelSettings
from llm.tokens.shards import ShardColumns, write_shard
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.pretrain.settings import PretrainSettings
from llm.training.schedule import ScheduleSettings

HOME = Path(__file__).resolve().parent.parent
TEXT = HOME.parent / "shared" / "data" / "lm" / "tinyshakespeare" / "input.txt"
CORES = 2
WARM_UP = 3  # steps that are not timed
BATCHES = 200  # of the validation text
FINAL = 0.1  # of the highest learning rate, after the last step
WARMUP_STEPS = 100  # of the learning rate
PEAK_LR = 1e-3
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Setting:
    """One shape of model and batch, and who trains it."""

    layers: int
    d_model: int
    heads: int
    context_length: int
    rows: int
    steps: int
    ours: tuple[str, ...]  # sides of ours
    peers: tuple[str, ...]
    vocabulary: int | None = None  # None: the text's characters
    scored: bool = False
    watched: bool = False  # whether memory is looked at

    @property
    def tokens(self) -> int:
        """Tokens of one step."""
        return self.rows * self.context_length


AUTO, FP32, OWN = "ours", "ours, fp32", "own recipe"
NANO, NANO_BF16 = "nanoGPT, fp32", "nanoGPT, bf16"
LIT_BF16, LIT_COMPILED = "litgpt, bf16", "litgpt, bf16, compiled"
PEERS = (NANO, NANO_BF16, LIT_BF16, LIT_COMPILED)

# d384 and vocab32k are there for speed and memory; their runs are too short to be scored.
SETTINGS = {
    "tiny": Setting(4, 128, 4, 64, 12, 2000, (AUTO, FP32), (NANO,), scored=True),
    "tiny-own": Setting(4, 128, 4, 64, 12, 2000, (OWN,), (NANO,), scored=True),
    "d384": Setting(6, 384, 6, 256, 16, 13, (AUTO,), PEERS),
    "vocab32k": Setting(
        6, 384, 6, 256, 16, 10, (AUTO,), (NANO_BF16,), vocabulary=32_768, watched=True
    ),
}


@dataclass(frozen=True)
class Data:
    """Where the tokens lie, for both sides."""

    folder: Path
    vocabulary: int
    starts: Path | None  # (BATCHES, rows) first tokens of the validation rows


def prepare(setting: Setting, folder: Path) -> Data:
    """Write the same tokens as plain numbers and as shards, with a tokenizer of one word a token.

    A vocabulary's tokens are drawn from a Zipf distribution: what they say does not matter there.
    """
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


def recipe(setting: Setting, steps: int, seed: int, precision: str = "auto") -> PretrainSettings:
    """The recipe's section for the same model, optimizer and schedule as nanoGPT's."""
    return PretrainSettings(
        model=ModelSettings(
            preset="nanogpt-tiny",
            layers=setting.layers,
            d_model=setting.d_model,
            heads=setting.heads,
            context_length=setting.context_length,
        ),
        tokens=steps * setting.tokens,
        batch_tokens=setting.tokens,
        schedule=ScheduleSettings(
            type="cosine",
            peak_lr=PEAK_LR,
            warmup_tokens=min(WARMUP_STEPS, steps) * setting.tokens,
            final_lr_fraction=FINAL,
        ),
        optimizer=OptimizerSettings(betas=BETAS, weight_decay=0.1),
        precision=precision,
        data_parallel=CORES,
        seed=seed,
        checkpoint_every=steps,
    )


def peer_job(setting: Setting, data: Data, steps: int, seed: int) -> dict[str, Any]:
    """The same for a peer (see `peer_loop`), but for its precision and whether it compiles."""
    return {
        "layers": setting.layers,
        "d_model": setting.d_model,
        "heads": setting.heads,
        "context_length": setting.context_length,
        "rows": setting.rows,
        "vocabulary": data.vocabulary,
        "steps": steps,
        "schedule_steps": steps,
        "warmup_steps": min(WARMUP_STEPS, steps),
        "warm_up": WARM_UP,
        "peak_lr": PEAK_LR,
        "least_lr": PEAK_LR * FINAL,
        "beta2": BETAS[1],
        "seed": seed,
        "threads": CORES,
        "train": str(data.folder / "train.bin"),
        "validation": str(data.folder / "validation.bin") if data.starts else None,
        "validation_starts": str(data.starts),
    }
