"""Records and pointers of a home whose artifacts went to an object store before its records did."""

from pathlib import Path

from llm.runs.pointers import FOLDER, SharedPointers
from llm.store.backend import Backend

BEFORE = "before-shared"


def bring(folder: Path, place: Backend, pointers: SharedPointers) -> None:
    """Put local records and pointers where the artifacts are, unless those are there already."""
    for path in sorted((folder / "runs").glob("[!.]*.json")):
        calls = path.with_name(f"{path.stem}.calls.jsonl")
        if calls.is_file():
            place.create(calls.read_bytes(), "runs", f"{path.stem}.calls", "brought.jsonl")
            _set_aside(folder, calls)
        place.create(path.read_bytes(), "runs", path.name)
        _set_aside(folder, path)
    for path in sorted((folder / FOLDER).glob("[!.]*.json")):
        pointers.bring(path.stem, path.read_bytes())
        _set_aside(folder, path)


def _set_aside(folder: Path, path: Path) -> None:
    target = folder / BEFORE / path.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
