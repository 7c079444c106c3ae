"""What must go from shards that are written already: taken down, or outdated where the recipe says so."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pydantic

from llm.corpus.erasure.takedown import Takedowns, erased_in
from llm.corpus.erasure.tombstones import documents_at, outdated
from llm.corpus.write import WriteShard
from llm.runs import Outputs
from llm.store import Reference
from tasks.nights import Night
from tasks.run import Run
from tasks.step import Call, Step


def taken_down(run: Run, extracted: Reference) -> tuple[str, ...]:
    """The ids (hex) of a shard's documents that the takedown list covers."""
    if not run.is_made(extracted):
        return ()
    return erased_in(run.store.local(extracted), _takedowns(run))


def tombstones(run: Run, night: Night, before: Sequence[Night]) -> dict[str, pa.Array]:
    """The addresses that a night found changed or gone, by source."""
    found = {}
    for source, crawl in night.crawls.items():
        earlier = [one.crawls[source] for one in before if source in one.crawls]
        if earlier and run.is_made(crawl):
            folders = [run.store.local(reference) for reference in earlier]
            found[source] = outdated(run.store.local(crawl), folders)
    return found


def renew(run: Run, write: Step, done: Outputs, gone: Mapping[str, pa.Array]) -> None:
    """Write those of the shards in `done` anew that hold a document that must go.

    gone: addresses to leave out, by source. A shard in which nothing changes stays as it is.
    """
    calls = {}
    for label, reference in done["documents"].items():
        artifact = run.store.read(reference.step, reference.key)
        if artifact is None:
            continue
        before = set(artifact.manifest["values"].get("erased", ()))
        extracted = done["extracted"][label]
        now = before | set(taken_down(run, extracted))
        source = label.rpartition("/")[2].rpartition("-")[0]
        if source in gone and len(gone[source]):
            now |= set(documents_at(run.store.local(extracted), gone[source]))
        if now != before:
            calls[label] = _again(write, artifact.manifest, label, tuple(sorted(now)))
    done["documents"].update(zip(calls, run.map(list(calls.values())), strict=True))


def _again(write: Step, manifest: Mapping[str, Any], label: str, erased: tuple[str, ...]) -> Call:
    """The call that wrote a shard, with more to leave out."""
    known = {field.name for field in dataclasses.fields(WriteShard)}
    given = {name: value for name, value in manifest["values"].items() if name in known}
    before = pydantic.TypeAdapter(WriteShard).validate_python(given)
    values = dataclasses.replace(before, erased=erased)
    inputs = {
        name: [Reference.from_json(item) for item in items]
        for name, items in manifest["inputs"].items()
    }
    return Call(write, values, inputs, label)


def _takedowns(run: Run) -> Takedowns:
    return Takedowns.load(run.runs.folder / "takedown.json")
