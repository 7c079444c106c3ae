"""The validation shards' documents, as token models are scored on them.

They are the documents that `texts.held_out` gives, in the same order and up to the same limit:
each alone after <|endoftext|>, which is context, and without the one that closes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from llm.evaluation.result import rows, write
from llm.evaluation.suite import BITS_PER_BYTE
from llm.step import BadInput, Context, StepResult
from llm.tokens.shards import Shard
from llm.tokens.special import END_OF_TEXT, id_count, special_ids

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class HeldTokens:
    """Validation documents: the name and the source of each, its ids (n,), the UTF-8 bytes of its text."""

    names: Sequence[str]
    sources: Sequence[str]
    tokens: Sequence[Array]
    sizes: Sequence[int]

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return sum(self.sizes)

    def write(self, name: str, nats: Sequence[float], context: Context, words: str) -> StepResult:
        """Write what the baseline `name` needs for each document. words: what it is, for the protocol."""
        protocol = (
            f"{words}, over the tokens of the training shards; bits per byte over the "
            f"{len(self.tokens)} validation documents ({self.bytes} UTF-8 bytes), each alone after "
            f"{END_OF_TEXT}, which is context and not counted"
        )
        bits = [one / math.log(2) for one in nats]
        table = rows(BITS_PER_BYTE.name, self.names, self.sources, bits, self.sizes)
        return write(context, name, (BITS_PER_BYTE,), [table], protocol, "document")


def held_tokens(folders: Sequence[Path], limit_bytes: int | None = None) -> HeldTokens:
    """The documents of tokenize artifacts' validation.arrow, in the order of their doc_id.

    limit_bytes: stop before the document that would pass it (the first always counts).
    Raises BadInput where there is none.
    """
    shards = [Shard.open(folder / "validation.arrow") for folder in folders]
    found = sorted(
        (doc_id, size, number, row)
        for number, shard in enumerate(shards)
        for row, (doc_id, size) in enumerate(
            zip(
                shard.documents["doc_id"].to_pylist(),
                shard.documents["bytes"].to_pylist(),
                strict=True,
            )
        )
        if size
    )
    if not found:
        raise BadInput(
            "the validation shards hold no document: raise tokenize.validation.fraction, or crawl "
            "more pages"
        )
    sources = [shard.documents["source"] for shard in shards]
    names: list[str] = []
    of: list[str] = []
    tokens: list[Array] = []
    sizes: list[int] = []
    total = 0
    for doc_id, size, number, row in found:
        if tokens and limit_bytes is not None and total + size > limit_bytes:
            break
        total += size
        names.append(doc_id.hex())
        of.append(sources[number][row].as_py())
        sizes.append(size)
        tokens.append(shards[number].document(row)[:-1])
    return HeldTokens(names, of, tokens, sizes)


def training_shards(folders: Sequence[Path]) -> list[Shard]:
    """The training shards of tokenize artifacts. Raises BadInput where they are empty."""
    shards = [Shard.open(folder / "train.arrow") for folder in folders]
    if not any(len(shard.tokens) for shard in shards):
        raise BadInput("the training shards hold no token: crawl more, or loosen clean.filters")
    return shards


def vocabulary_of(folder: Path) -> tuple[int, int]:
    """How many ids a tokenizer artifact has, gaps included, and which one is <|endoftext|>."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return id_count(tokenizer), special_ids(tokenizer, [END_OF_TEXT])[END_OF_TEXT]
