"""Shards of random documents, each closed by token 0, and what they must come to as rows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llm.tokens.shards import ShardColumns, write_shard

END = 0


def write_documents(
    path: Path, count: int, seed: int, source: str = "x", ids: tuple[int, int] = (1, 60_000)
) -> list[list[int]]:
    """Write a shard of `count` documents of 1 to 60 tokens of the range `ids`; the documents."""
    random = np.random.default_rng(seed)
    documents = [
        [*random.integers(*ids, length - 1).tolist(), END]
        for length in random.integers(1, 61, count).tolist()
    ]
    sizes = [len(document) for document in documents]
    tokens = np.array([token for document in documents for token in document], np.uint16)
    columns = ShardColumns([bytes(16)] * count, [source] * count, sizes, sizes, tokens)
    write_shard(path, columns, {})
    return documents


def multiset(rows: Sequence[np.ndarray]) -> Counter[bytes]:
    """How often each row was read."""
    return Counter(row.tobytes() for row in rows)
