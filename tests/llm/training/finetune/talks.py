"""Short conversations and a tokenizer of bytes, for tests of fine-tuning."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from llm.tokens.special import SPECIAL_TOKENS

CONTEXT = 64
WORDS = ("open", "join", "split", "read", "write", "close", "walk", "move", "copy", "link")


def byte_tokenizer(special: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
    """A tokenizer of special tokens and the 256 bytes."""
    alphabet = sorted(ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*special, *alphabet))}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def conversation(number: int) -> list[dict[str, str]]:
    """One of ten questions with its answer."""
    word = WORDS[number % len(WORDS)]
    return [
        {"role": "user", "content": f"{word}?"},
        {"role": "assistant", "content": f"It does {word}."},
    ]
