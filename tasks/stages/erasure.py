"""What must go from shards that are written already: taken down, or outdated where the recipe says so."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from llm.corpus.erasure.erased import ERASED
from llm.corpus.write_settings import WriteShard
from llm.runs import Outputs
from llm.store import Reference
from tasks.engine.run import Run
from tasks.engine.step import Call, Step
from tasks.stages.nights import Night, source_of

if TYPE_CHECKING:
    import pyarrow as pa

    from llm.corpus.erasure.exclusions import Exclusions


def taken_down(run: Run, extracted: Reference) -> tuple[str, ...]:
    """The ids (hex) of a shard's documents that the takedown list covers."""
    if not run.is_made(extracted):
        return ()
    folder = run.store.local(extracted)
    if not run.machine.takedown and not (folder / ERASED).is_file():
        return ()
    from llm.corpus.erasure.takedown import erased_in

    return erased_in(folder, _covered(run.machine.takedown))


def tombstones(
    run: Run, crawls: Mapping[str, Reference], before: Sequence[Night]
) -> dict[str, "pa.Array"]:
    """The addresses of earlier nights that a night's crawls found changed or gone, by source."""
    found = {}
    for source, crawl in crawls.items():
        earlier = [one.crawls[source] for one in before if source in one.crawls]
        earlier = [one for one in earlier if run.store.read(one.step, one.key) is not None]
        if earlier and run.is_made(crawl):
            from llm.corpus.erasure.tombstones import outdated

            folders = [run.store.local(reference) for reference in earlier]
            found[source] = outdated(run.store.local(crawl), folders)
    return found


def renew(run: Run, write: Step, done: Outputs, gone: Mapping[str, "pa.Array"]) -> None:
    """Write those of the shards in `done` again that hold a document that must go, or may come back.

    gone: addresses to leave out, by source. A shard in which nothing changes stays as it is.
    """
    calls = {}
    for label, reference in done["documents"].items():
        artifact = run.store.read(reference.step, reference.key)
        if artifact is None:
            continue
        values = artifact.manifest["values"]
        erased, old = set(values.get("erased", ())), set(values.get("outdated", ()))
        folder = run.store.local(reference)
        taken = set(taken_down(run, done["extracted"][label]))
        # What the rules dropped was never written, and needs no leaving out.
        if taken - erased:
            from llm.corpus.erasure.tombstones import documents_in

            taken &= erased | documents_in(folder)
        stale = set(old)
        source = source_of(label)
        if source in gone and len(gone[source]):
            from llm.corpus.erasure.tombstones import documents_at

            stale |= documents_at(folder, gone[source])
        if taken != erased or stale != old:
            calls[label] = _again(write, artifact.manifest, label, taken, stale)
    done["documents"].update(zip(calls, run.map(list(calls.values())), strict=True))


@functools.lru_cache(maxsize=1)
def _covered(entries: tuple[str, ...]) -> "Exclusions":
    from llm.corpus.erasure.exclusions import Exclusions

    return Exclusions(entries)


def _again(
    write: Step, manifest: Mapping[str, Any], label: str, erased: set[str], stale: set[str]
) -> Call:
    """The call that wrote a shard, with other documents to leave out."""
    known = {field.name for field in dataclasses.fields(WriteShard)}
    given = {name: value for name, value in manifest["values"].items() if name in known}
    before = pydantic.TypeAdapter(WriteShard).validate_python(given)
    inputs = {
        name: [Reference.from_json(item) for item in items]
        for name, items in manifest["inputs"].items()
    }
    values = dataclasses.replace(
        before, erased=tuple(sorted(erased)), outdated=tuple(sorted(stale))
    )
    return Call(write, values, inputs, label)
