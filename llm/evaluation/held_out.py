"""The held-out examples of a task: those of the split `test` where the user gave one."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from llm.examples.shards import Example, Shard
from llm.step import digest_of

LIBRARIES = ("pyarrow",)


def held_out_shard(folder: Path) -> tuple[Shard, str]:
    """The shard of an examples artifact, and which split it is."""
    split = "test" if (folder / "test.arrow").is_file() else "validation"
    return Shard.open(folder / f"{split}.arrow"), split


def names_of(examples: Sequence[Example]) -> list[str]:
    """Each example named by its content, and by how often the same came before."""
    seen: Counter[str] = Counter()
    names = []
    for example in examples:
        name = digest_of([json.dumps(example.cells, sort_keys=True)])[:32]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
