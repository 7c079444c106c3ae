"""Where compiled code is kept: beside this package or, where that cannot be written, in the user's cache.

Each state of the sources has a folder of its own.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

SIGNS = (b"@inner", b"@intrinsic", b"@compiled", b"carray")  # of a file that has compiled functions
MAKERS = (
    "compiled",
    "compiler",
    "machine_code",
    "characters",
)  # files without one that code depends on


@lru_cache(maxsize=1)
def code_folder() -> Path | None:
    """The best folder that can be written; None where there is none."""
    here = Path(__file__).parent
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(here.rglob("*.py")):
        text = path.read_bytes()
        if path.stem in MAKERS or any(sign in text for sign in SIGNS):
            state.update(path.name.encode() + text)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 (Path's fails without a home)
    name = f"compiled-{state.hexdigest()}"
    folders = here / "__pycache__" / name, home / "penstock" / name
    return next(filter(_writable, folders), None)


def _writable(folder: Path) -> bool:
    """Make a folder; whether one can write there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
