"""A tiny corpus of token shards, and settings for a model that trains in a second."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.models.config import ModelSettings
from llm.step import Inputs
from llm.tokens.shards import ShardColumns, write_shard
from llm.training.pretrain import PretrainSettings
from llm.training.schedule import ScheduleSettings

VOCABULARY = 60


def tiny_settings(**changes: Any) -> PretrainSettings:
    """Two layers of width 32 on rows of 16 tokens, 8 rows a step, 4 partial gradients."""
    defaults: dict[str, Any] = {
        "model": ModelSettings(layers=2, d_model=32, heads=2, head_dim=16, context_length=16),
        "tokens": 12 * 128,
        "batch_tokens": 128,
        "schedule": ScheduleSettings(peak_lr=0.01, warmup_tokens=256, decay_fraction=0.5),
        "data_parallel": 4,
        "checkpoint_every": 3,
        "precision": "fp32",
    }
    return PretrainSettings(**{**defaults, **changes})


def write_tokens(folder: Path, tokens: int, seed: int) -> None:
    """A tokenize artifact: one document of `tokens` ids that a model can learn something from."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    ids = (np.cumsum(random.integers(0, 4, tokens)) % VOCABULARY).astype(np.uint16)
    columns = ShardColumns(
        doc_ids=[bytes(16)], sources=["docs"], sizes=[tokens], lengths=[tokens], tokens=ids
    )
    write_shard(folder / "train.arrow", columns, {"tokenizer": "test"})


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Two shards of 700 tokens and a tokenizer of VOCABULARY words."""
    root = tmp_path_factory.mktemp("inputs")
    for number in range(2):
        write_tokens(root / f"shard-{number}", 700, number)
    (root / "tokenizer").mkdir()
    words = {f"w{number}": number for number in range(VOCABULARY)}
    Tokenizer(WordLevel(words)).save(str(root / "tokenizer" / "tokenizer.json"))
    return {"tokens": [root / "shard-0", root / "shard-1"], "tokenizer": [root / "tokenizer"]}
