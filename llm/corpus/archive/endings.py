"""What the ends of files' names say: how they are packed."""

from pathlib import Path

PACKED = (".gz", ".zst", ".xz", ".bz2")


def inner_name(name: str) -> str:
    """A file's name in lower case without the ending that says how it is packed."""
    name = name.lower()
    return name.removesuffix(Path(name).suffix) if name.endswith(PACKED) else name
