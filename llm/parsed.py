"""What fingerprints need of a module's source, kept in the user's cache: parsing takes seconds.

An entry is named by the digest of the source, and a damaged one counts as none. Several processes
may write the same entry: each writes aside and renames, and what they write is the same.
"""

import functools
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm.durable import bytes_digest
from llm.step import digest_of

Parsed = dict[str, Any]
"""code: digest of the syntax tree; data, imports, libraries: lists of names."""

KEYS = {"code", "data", "imports", "libraries"}


def kept(source: bytes, parse: Callable[[bytes], Parsed]) -> Parsed:
    """What `parse` makes of a source, from the cache where it is there."""
    folder = _folder()
    if folder is None:
        return parse(source)
    path = folder / bytes_digest(source)
    found = _read(path)
    if found is None:
        found = parse(source)
        _write(path, found)
    return found


@functools.cache
def _folder() -> Path | None:
    """Of this Python and this way to parse; None where no folder can be made."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    how = [
        path.read_bytes()
        for path in sorted(Path(__file__).parent.glob("*.py"))
        if path.stem in ("fingerprint", "parsed")
    ]
    folder = Path(home, "penstock", f"parsed-{digest_of([sys.version, *how])[:16]}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _read(path: Path) -> Parsed | None:
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
        if digest.decode() != bytes_digest(text):
            return None
        found: Parsed = json.loads(text)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() == KEYS else None


def _write(path: Path, parsed: Parsed) -> None:
    """Keep an entry if it can be kept; not synced, as one that is lost is made again."""
    text = json.dumps(parsed).encode()
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with suppress(OSError):
        aside.write_bytes(bytes_digest(text).encode() + b"\n" + text)
        aside.replace(path)
