"""Example shards as tests write and read them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Example, Shard, ShardWriter


def write_conversations(path: Path, conversations: Iterable[list[dict[str, str]]]) -> None:
    """Write a shard of conversations, each with the line that it would have in a file of its own."""
    with ShardWriter(path, CONVERSATIONS, path.stem) as shard:
        for number, messages in enumerate(conversations, start=1):
            shard.add(Example((messages,), "", f"{path.stem}.jsonl", number))


def rows_of(folder: Path, split: str) -> list[Mapping[str, Any]]:
    """The rows of a split, as pyarrow itself reads them: messages and url."""
    batches = Shard.open(folder / f"{split}.arrow").batches
    return [row for batch in batches for row in batch.drop_columns(["file", "line"]).to_pylist()]
