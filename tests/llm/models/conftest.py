"""What several tests of the models use."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

VOCABULARY = 97


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    """A tokenizer of 97 whole words, four of them special."""
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    words += [f"word{number}" for number in range(VOCABULARY - len(words))]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="word0"))
    tokenizer.add_special_tokens(words[:4])
    path = tmp_path / "some-tokenizer.json"
    tokenizer.save(str(path))
    return path
