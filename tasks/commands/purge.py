"""Purging what was taken down: deleted from the store, for good.

A purge rewrites, in place, what later steps may need (pages, extracted and written documents,
decisions) and removes what is made again from them (token shards, planted duplicates, samples,
reports). Killed at any moment, it is finished by starting it again.
"""

import dataclasses
import datetime
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.erasure.erase import (
    erase_entries,
    erase_examples,
    erase_records,
    erase_rows,
    has_lines,
)
from llm.corpus.erasure.erased import ERASED
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.erasure.takedown import Takedowns, change_list, exclusions
from llm.store import Artifact, Store
from llm.store.work import WANTED_BY
from tasks.commands.quotes import Quotes
from tasks.commands.search import holds as quotes_in
from tasks.commands.takedown import Found, find, list_path, note_seen, shards_with
from tasks.commands.traces import blanked, clear_logs, clear_records, telling
from tasks.engine.home import Home
from tasks.engine.step import Holds
from tasks.stages.catalogue import holds

SQLITE_FILES = "*.sqlite"

QUOTES = "takedown-quotes.npy"
"""What a purge that is not complete looks for, in the project's home: hashes, no text."""


@dataclasses.dataclass(frozen=True)
class Purged:
    """What a purge did. Artifacts as "step/key"; remains: what still has it, and why."""

    documents: int
    rewritten: Sequence[str]
    removed: Sequence[str]
    folders: Sequence[str]
    seen_by: Sequence[Mapping[str, Any]]
    remains: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


def purge(home: Home) -> Purged:
    """Delete what the takedown list covers from the store. Raises BadInput while a run is going on.

    No run starts before it has ended.
    """
    with home.runs.alone():
        return _purge(home)


def _purge(home: Home) -> Purged:
    store, path = home.store, list_path(home)
    now = datetime.datetime.now(datetime.UTC).timestamp()
    folders = store.clear()
    takedowns = Takedowns.load(path)
    found = find(store, takedowns)
    # What quotes the texts is looked for until all is done, also where a purge that was killed has
    # deleted the texts already.
    kept = home.folder / QUOTES
    found.quotes |= Quotes.load(kept)
    found.quotes.save(kept)
    # Told before anything is deleted: who has seen it cannot be found out afterwards.
    takedowns = note_seen(home, found)
    covered = Exclusions(exclusions(takedowns))
    tells = telling(covered, found.quotes)
    folders += _clear_folders(store, covered, found.quotes, tells)
    folders += clear_records(home, covered, found.quotes)
    folders += clear_logs(home, covered, found.quotes)
    removed = [one for one in store.artifacts() if _is_to_go(store, one, covered, found)]
    for artifact in removed:
        store.remove(artifact)
    rewritten = []
    # Last of all what the others are found by, so that a purge that was killed finds them again.
    order = {"rows": 1, "extracted": 2, "pages": 3}
    for artifact in sorted(store.artifacts(), key=lambda one: order.get(_holds(one), 0)):
        if _holds(artifact) == "model":  # told, not touched
            continue
        if _erase(store, artifact, covered, found, now, tells):
            rewritten.append(_name(artifact))
    takedowns = change_list(path, lambda one: one.noting(purged_at=now))
    remains = list(_remains(store, found))
    kept.unlink(missing_ok=True)
    return Purged(
        len(found.addresses),
        rewritten,
        [_name(one) for one in removed],
        folders,
        [one for entry in takedowns.entries for one in entry.seen_by],
        remains,
    )


def _name(artifact: Artifact) -> str:
    return f"{artifact.reference.step}/{artifact.reference.key}"


def _holds(artifact: Artifact) -> Holds:
    return holds(artifact.reference.step)


def _clear_folders(
    store: Store, covered: Exclusions, quotes: Quotes, tells: Callable[[bytes], bool]
) -> list[str]:
    """Empty what is not the store proper: damaged artifacts, unfinished work, local copies.

    A crawl's frontier goes on without what was taken down, a training's checkpoints stay as long
    as they quote nothing: days of work are in them. Archives that are half fetched are fetched again.
    """
    cleared = []
    for folder in sorted((store.scratch / "work").glob("*/*")):
        held = holds(folder.parent.name)
        if held == "pages":
            databases = sorted(folder.rglob(SQLITE_FILES))
            erased = sum(erase_entries(path, covered, tells) for path in databases)
            others = [path for path in _files(folder) if not _is_state(path)] if covered else []
            for path in others:
                path.unlink()
            cleared += [str(folder)] if erased or others else []
        elif held != "model" or any(quotes_in(path, quotes) for path in _files(folder)):
            shutil.rmtree(folder)
            cleared.append(str(folder))
    if not store.is_local and store.cache.clear():
        cleared.append(str(store.cache.folder))
    return cleared + store.clear_aside()


def _is_state(path: Path) -> bool:
    """Whether a file of a crawl's work folder is what it goes on from, not something it fetched."""
    return ".sqlite" in path.name or path.name in ("lock", WANTED_BY)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _is_to_go(store: Store, artifact: Artifact, covered: Exclusions, found: Found) -> bool:
    """Whether an artifact is to be made again: tokens of the documents, or a quotation of them."""
    held = _holds(artifact)
    names = artifact.manifest["files"]
    erasable = held == "rows" and any(name.endswith(".arrow") for name in names)
    if erasable or held in ("model", "pages"):
        return False
    with store.borrowing():
        folder = store.local(artifact.reference)
        if held == "tokens":
            return bool(shards_with(folder, found.ids))
        if held == "copies" and _is_planted(folder / "truth.parquet", found.ids):
            return True
        return any(
            quotes_in(folder / name, found.quotes)
            or (name.endswith(".jsonl") and has_lines(folder / name, covered))
            for name in names
            if not name.endswith(".parquet")
        )


def _is_planted(path: Path, ids: pa.Array) -> bool:
    """Whether planted duplicates are edits of one of the documents."""
    origins = pq.read_table(path, columns=["origin"])["origin"]
    return bool(pc.any(pc.is_in(origins, value_set=ids)).as_py())


def _erase(
    store: Store,
    artifact: Artifact,
    covered: Exclusions,
    found: Found,
    now: float,
    tells: Callable[[bytes], bool],
) -> bool:
    """Take the documents out of an artifact's files; True where there was something."""
    held = _holds(artifact)
    counts = {"documents": 0}

    def change(folder: Path, out: Path) -> Mapping[str, Any] | None:
        for name in artifact.manifest["files"]:
            source, target = folder / name, out / name
            if name.endswith(".warc.gz"):
                erased = erase_records(source, target, covered)
            elif name.endswith(".parquet"):
                drop = held == "documents"
                erased = erase_rows(source, target, covered, found.ids, drop=drop, tells=tells)
            elif held == "rows" and name.endswith(".arrow"):
                erased = erase_examples(source, target, covered)
            else:
                continue
            counts["documents"] = max(counts["documents"], erased)
        summary = artifact.manifest.get("summary", "")
        plain = blanked(summary, covered, found.quotes)
        said = {"summary": plain} if plain != summary else {}
        if not counts["documents"]:
            return said or None
        if held == "extracted":
            own = _ids_in(folder) & found.addresses.keys()
            before = folder / ERASED
            if before.is_file():
                own |= {bytes.fromhex(one) for one in json.loads(before.read_text("utf8"))}
            (out / ERASED).write_text(json.dumps(sorted(one.hex() for one in own)), "utf8")
        note = {"at": now, **counts, "reason": "takedown"}
        return {**said, "erased": [*artifact.manifest.get("erased", []), note]}

    after = store.rewrite(artifact.reference, change)
    return after is not None and after.manifest != artifact.manifest


def _ids_in(folder: Path) -> set[bytes]:
    listed = pq.read_table(folder / "documents.parquet", columns=["doc_id"])["doc_id"]
    return set(listed.to_pylist())


def _remains(store: Store, found: Found) -> Iterator[str]:
    """What still has it, as far as can be known from here."""
    for path in _files(store.scratch):
        if quotes_in(path, found.quotes):
            yield f"{path} still quotes it: the same text stands at an address not on the list"
    for url in sorted(found.copies):
        yield f"{url} has the same text, or nearly, and is not on the list"
    for pattern in sorted(found.files):
        yield f"your own files {pattern}: runs leave it out, the files still have it"
    if not store.is_local:
        yield f"{store.path()}: versions that the object store keeps, and copies on other machines"
    yield "pages that link to it: what they say is theirs, the address with it"
    yield "backups, and copies of the store elsewhere: none is known here"
    yield "Prefect's database, where a log or table of a run may name the address"
