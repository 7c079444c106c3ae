"""Garbage collection: what no kept run and no pointer refers to any more."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from llm.runs.record import Head, Unreadable, keys_in, names_of
from llm.runs.runs import Runs
from llm.step import BadInput
from llm.store import Store, folder_bytes
from llm.store.names import Name, Summary
from llm.store.work import discard, wanted_by

KEEP_RUNS = 14
"""Of a recipe whose newest run does not say how many."""

WEEK = 7 * 24 * 3600


@dataclasses.dataclass(frozen=True)
class Garbage:
    """What nothing refers to any more. busy: a run is going on, so that nothing counts as such.

    folders: path → bytes: damaged artifacts, what killed removals left, abandoned work. unsure: files
    of which a part is lost, so that any artifact may be what they refer to.
    """

    artifacts: Sequence[Summary] = ()
    folders: Mapping[str, int] = dataclasses.field(default_factory=dict)
    records: Sequence[Head] = ()
    keep_runs: int | None = None
    busy: bool = False
    unsure: Sequence[Path] = ()

    @property
    def bytes(self) -> int:
        """How much space removing it frees."""
        return sum(one.bytes for one in self.artifacts) + sum(self.folders.values())

    def __bool__(self) -> bool:
        return bool(self.artifacts or self.folders or self.records)


def find_garbage(store: Store, runs: Runs, keep_runs: int | None = None) -> Garbage:
    """What could go now. To remove it, `collect` decides again.

    Kept: the newest `keep_runs` completed runs of each recipe, those since, and running ones; None:
    as many as the recipe's newest run says (`policy.keep_runs`).
    """
    try:
        with runs.alone():
            return _decide(store, runs, keep_runs)
    except BadInput:
        return Garbage(keep_runs=keep_runs, busy=True)


def collect(store: Store, runs: Runs, told: Garbage) -> Garbage:
    """Remove what was told and is garbage still; returns what was removed.

    What a run took meanwhile stays. Raises BadInput while a run is going on.
    """
    with runs.alone():
        now = _decide(store, runs, told.keep_runs)
        names = {one.name for one in told.artifacts}
        gone = {one.id for one in told.records}
        artifacts = [one for one in now.artifacts if one.name in names]
        records = [one for one in now.records if one.id in gone]
        folders = {path: size for path, size in now.folders.items() if path in told.folders}
        for artifact in artifacts:
            store.remove_named(artifact.name)
        work = {str(path): path for path in _work_folders(store)}
        for path in folders.keys() & work.keys():
            discard(work[path])
        if store.path("aside") in folders:
            store.clear_aside()
        store.clear()
        for head in records:
            runs.forget(head.id)
        return Garbage(artifacts, folders, records, told.keep_runs)


def _decide(store: Store, runs: Runs, keep_runs: int | None) -> Garbage:
    heads = runs.heads()
    kept_heads, old = _by_age(heads, keep_runs)
    kept, keys, unsure = _referred_to(runs, kept_heads)
    summaries = store.summaries()
    for name in [one for one in kept if one in summaries and summaries[one].rewritten]:
        # An erasure needs them to write an earlier night's shard again.
        kept.update(summaries[name].made_of)
    artifacts = [
        one
        for name, one in summaries.items()
        if name not in kept and name[1] not in keys and not unsure
    ]
    folders = {
        **store.left_over(),
        **{
            str(path): folder_bytes(path)
            for path in _work_folders(store)
            if _is_done_with(path, summaries, heads)
        },
    }
    return Garbage(
        sorted(artifacts, key=lambda one: one.name), folders, old, keep_runs, unsure=unsure
    )


def _by_age(heads: Sequence[Head], keep_runs: int | None) -> tuple[list[Head], list[Head]]:
    """The runs to keep, and the old ones. What cannot be read is kept and counts for nothing."""
    kept: list[Head] = []
    old: list[Head] = []
    count: dict[str, int] = {}
    limits: dict[str, int] = {}
    for head in heads:
        limit = limits.setdefault(head.recipe, keep_runs or head.keep_runs or KEEP_RUNS)
        enough = count.get(head.recipe, 0) >= limit
        if enough and head.outcome != "running" and not head.problem:
            old.append(head)
            continue
        count[head.recipe] = count.get(head.recipe, 0) + (head.outcome == "completed")
        kept.append(head)
    return kept, old


def _referred_to(runs: Runs, heads: Sequence[Head]) -> tuple[set[Name], set[str], Sequence[Path]]:
    """What runs and pointers refer to, by name; by key, where a file is of a newer version.

    And the files of which nobody can tell, because a part is lost.
    """
    names: set[Name] = set()
    for head in heads:
        with suppress(FileNotFoundError, Unreadable):
            names |= names_of(runs.load(head.id).references())
    for value in runs.pointers().values():
        names |= {(ref["step"], ref["key"]) for ref in (value or {}).get("references", [])}
    keys: set[str] = set()
    unsure = []
    for path in runs.unreadable():
        with suppress(FileNotFoundError):
            found = keys_in(runs.raw(path))
            keys |= found or set()
            unsure += [path] if found is None else []
            names |= names_of(iter(runs.calls_of(path.stem)))
    return names, keys, unsure


def _work_folders(store: Store) -> Iterator[Path]:
    yield from sorted((store.scratch / "work").glob("*/*"))


def _is_done_with(folder: Path, made: Mapping[Name, Summary], heads: Sequence[Head]) -> bool:
    """Whether a work folder's artifact is there, or nobody is going to go on with it.

    A clock alone never says so: a training may be paused for long, and clocks jump.
    """
    if (folder.parent.name, folder.name) in made:
        return True
    said = wanted_by(folder)
    if folder.parent.name == "trial":
        given_up = True
    elif said is None:
        given_up = not any(head.outcome != "completed" for head in _newest_of_each(heads))
    else:
        # A later run finished the stage without it: with other settings, inputs or code.
        given_up = any(
            head.recipe == said.get("recipe")
            and head.order > int(said.get("order", 0))
            and said.get("stage") in head.finished
            for head in heads
        )
    return given_up and time.time() - _touched(folder) > WEEK


def _newest_of_each(heads: Sequence[Head]) -> Iterator[Head]:
    seen: set[str] = set()
    for head in heads:
        if head.recipe not in seen:
            seen.add(head.recipe)
            yield head


def _touched(folder: Path) -> float:
    """When anything in a folder last changed (Unix seconds)."""
    times = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)
