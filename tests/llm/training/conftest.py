"""A tiny corpus of token shards, and a starter of ranks."""

from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.step import Inputs
from tests.llm.training.runs import VOCABULARY, Zygote, write_tokens
from tests.waiting import PATIENCE


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


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """A process that forks ranks."""
    starter = Zygote()
    yield starter
    assert starter.process.stdin
    starter.process.stdin.close()
    starter.process.wait(PATIENCE)
