"""What a manifest says of an artifact's files, and reading it."""

import json
from pathlib import Path
from typing import Any

from llm import durable


def described(folder: Path) -> dict[str, dict[str, Any]]:
    """Bytes and digest of every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): {
            "bytes": path.stat().st_size,
            "digest": durable.file_digest(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def parsed(data: bytes | None) -> dict[str, Any] | None:
    """A manifest from its bytes. Raises ValueError for what is none."""
    if data is None:
        return None
    found = json.loads(data)
    missing = {"step", "key", "content", "files"} - (
        found.keys() if isinstance(found, dict) else set()
    )
    if missing:
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    return dict(found)
