"""The held-out conversations of a task, as suites read them."""

from pathlib import Path

from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Shard


def held_out(folder: Path, limit: int) -> list[list[dict[str, str]]]:
    """The messages (role, content) of the first held-out conversations of a task's examples.

    Raises BadInput for another file.
    """
    path = folder / "validation.arrow"
    return [one.cells[0] for one in Shard.open(path).examples(CONVERSATIONS, limit)]
