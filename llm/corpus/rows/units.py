"""What the numbers of a file's rows count."""

from pathlib import Path

from llm.corpus.archive.endings import inner_name

_BY_ITEM = (".parquet", ".arrow", ".feather", ".json")


def unit(path: Path) -> str:
    """Line or item, as messages name a place in the file."""
    return "item" if inner_name(path.name).endswith(_BY_ITEM) else "line"
