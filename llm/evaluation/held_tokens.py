"""The validation shards' documents, as token models are scored on them.

They are the documents that `texts.held_out` gives, in the same order and up to the same limit:
each alone after <|endoftext|>, which is context, and without the one that closes it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from llm.durable import write_json
from llm.step import BadInput, Context, StepResult
from llm.tokens.shards import Shard
from llm.tokens.special import END_OF_TEXT, id_count, special_ids

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class HeldTokens:
    """Validation documents. tokens: ids of each, (n,); bytes: UTF-8 bytes of their text together."""

    tokens: Sequence[Array]
    bytes: int

    def write(
        self, name: str, nats: float, context: Context, words: str, counts: Mapping[str, Any]
    ) -> StepResult:
        """Write metrics.json as the baselines step does: what `name` needs for these documents.

        words: what the model is, for the protocol. counts: further figures for the manifest.
        """
        figure = nats / math.log(2) / self.bytes
        protocol = (
            f"{name}: {words}, over the tokens of the training shards; bits per byte over the "
            f"{len(self.tokens)} validation documents ({self.bytes} UTF-8 bytes), each alone after "
            f"{END_OF_TEXT}, which is context and not counted"
        )
        result = {
            "bits_per_byte": {name: figure},
            "bytes": self.bytes,
            "documents": len(self.tokens),
            "protocol": protocol,
        }
        write_json(context.out / "metrics.json", result)
        row = {"baseline": name, "bits per byte": round(figure, 3)}
        context.report.table(f"baseline-{name.replace('_', '-')}", [row], protocol)
        return StepResult(
            counts={"bits_per_byte": figure, **counts}, summary=f"{figure:.3f} bits/byte"
        )


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
    tokens: list[Array] = []
    total = 0
    for _, size, number, row in found:
        if tokens and limit_bytes is not None and total + size > limit_bytes:
            break
        total += size
        tokens.append(shards[number].document(row)[:-1])
    return HeldTokens(tokens, total)


def vocabulary_of(folder: Path) -> tuple[int, int]:
    """How many ids a tokenizer artifact has, gaps included, and which one is <|endoftext|>."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return id_count(tokenizer), special_ids(tokenizer, [END_OF_TEXT])[END_OF_TEXT]
