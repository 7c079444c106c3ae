"""GPT-2's files: vocab.json and merges.txt, which were first named encoder.json and vocab.bpe."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models

from llm.step import BadInput
from llm.tokens.patterns import PATTERNS, cut_into_bytes
from llm.tokens.special import END_OF_TEXT

LIBRARIES = ("tokenizers",)

NAMES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def read_gpt2(vocabulary: Path, merges: Path) -> Tokenizer:
    """Byte-level BPE from a JSON object of tokens and a text file of merges, one a line.

    Raises BadInput for files that are no such thing.
    """
    try:
        ids = json.loads(vocabulary.read_text("utf8"))
        lines = merges.read_text("utf8").split("\n")
        pairs = [
            (left, right)
            for left, right in (
                line.split(" ") for line in lines if line and not line.startswith("#version")
            )
        ]
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=pairs))
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(
            f"{vocabulary} and {merges.name} are not a GPT-2 vocabulary: {error}"
        ) from error
    cut_into_bytes(tokenizer, PATTERNS["gpt2"])
    if END_OF_TEXT in ids:
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    return tokenizer
