"""What `benchmarks/finetune.py` trains on and from: the same texts, tokenizer and first weights for all."""

import csv
import json
import pydoc_data.topics
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llm.examples.settings import CONVERSATIONS, Column
from llm.examples.shards import Example, ShardWriter
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.tokens.special import reserved
from llm.training.finetune.classify import Classify
from llm.training.work import MODEL

VOCABULARY = 8192
TEXTS, TALKS, HELD_OUT = 6000, 2500, 50
TEXT = Column(name="text", type="text")
SECOND = Column(name="second", type="text", optional=True)


@dataclass(frozen=True)
class Shape:
    """A model and its rows."""

    settings: dict[str, Any]
    context_length: int
    rows: int


SHAPES = {
    "bert": Shape({"preset": "bert", "layers": 6, "d_model": 384, "heads": 6}, 128, 16),
    "decoder": Shape({"preset": "llama", "layers": 8, "d_model": 384, "heads": 6}, 256, 16),
}


def words() -> list[str]:
    """Python's reference, as words: real English that every installation of Python has."""
    return " ".join(pydoc_data.topics.topics.values()).split()


def labelled(path: Path | None) -> list[tuple[str, str]]:
    """Texts and labels: of a CSV with the columns text and category, or questions cut from `words`."""
    if path is not None:
        with path.open(newline="") as stream:
            return [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    source, draw = words(), random.Random(0)
    found = []
    for _ in range(TEXTS):
        start, length = draw.randrange(len(source) - 60), min(3 + int(draw.expovariate(1 / 9)), 60)
        found.append((" ".join(source[start : start + length]), f"topic {start // 5000}"))
    return found


def talks(path: Path | None) -> list[tuple[str, str]]:
    """Prompts and responses: of JSON lines with these, or pieces of `words`."""
    if path is not None:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [(row["prompt"], row["response"]) for row in rows]
    source, draw = words(), random.Random(0)
    found = []
    for _ in range(TALKS):
        start, asked = draw.randrange(len(source) - 400), draw.randint(5, 30)
        said = min(10 + int(draw.expovariate(1 / 50)), 300)
        pieces = source[start : start + asked], source[start + asked : start + asked + said]
        found.append((" ".join(pieces[0]), " ".join(pieces[1])))
    return found


def base(shape: Shape, root: Path) -> Path:
    """A model with first weights and the tokenizer that `words` teach, as pretraining leaves one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(reserved(("chat", "masking"))),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(words())], trainer)
    settings = ModelSettings(**shape.settings, context_length=shape.context_length)
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    model.initialise(seed=0)
    tokenizer.save(str(root / "tokenizer.json"))
    folder.save(model, root / "base" / MODEL, root / "tokenizer.json")
    return root / "base"


def text_shards(root: Path, texts: list[tuple[str, str]]) -> Path:
    """Example shards of texts with a label each."""
    root.mkdir()
    for split, rows in _splits(texts).items():
        with ShardWriter(root / f"{split}.arrow", (TEXT, SECOND, Classify.said), split) as shard:
            for line, (text, label) in enumerate(rows, start=1):
                shard.add(Example((text, "", [label]), "", f"{split}.csv", line))
    return root


def talk_shards(root: Path, found: list[tuple[str, str]]) -> Path:
    """Example shards of conversations of a question and an answer."""
    root.mkdir()
    for split, rows in _splits(found).items():
        with ShardWriter(root / f"{split}.arrow", CONVERSATIONS, split) as shard:
            for line, (prompt, response) in enumerate(rows, start=1):
                said = [
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": response},
                ]
                shard.add(Example((said,), "", f"{split}.jsonl", line))
    return root


def _splits(rows: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    mixed = random.Random(1).sample(rows, len(rows))
    return {"train": mixed[HELD_OUT:], "validation": mixed[:HELD_OUT]}
