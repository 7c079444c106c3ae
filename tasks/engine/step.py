"""A step and a call of it: what decides whether it has been done already."""

import dataclasses
import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from llm.corpus.sources.names import short_names
from llm.durable import file_digest
from llm.fingerprint import Fingerprint, digest_plain, fingerprint, plain
from llm.located import paths_in
from llm.parts import modules
from llm.step import StepFunction, digest_of
from llm.store import Reference

Holds = Literal["pages", "extracted", "documents", "copies", "tokens", "rows", "model", "figures"]
"""What an artifact holds of the text that it was made from, which a purge asks.

pages: as they were fetched. extracted: every document, kept or not. documents: those to train on.
copies: edits of documents. tokens: token shards. rows: conversations and other examples. model: what
was learned from text and cannot unlearn it. figures: what was measured or decided.
"""


@dataclasses.dataclass(frozen=True)
class Step:
    """One function of `llm` as a unit of retry and caching.

    place: "module:function", imported when the step is carried out: what only asks whether it has
    been done needs none of the libraries that do it.
    resumes_across_code: its unfinished work stays valid when the code changes (a crawl's frontier).
    own_processes: it starts and guards processes itself, so it is called from the main thread.
    learns: it trains, and the figures of its steps go to the machine's sinks.
    form: of its files: raised when later steps read something else in them, so that artifacts of
    another form are neither kept nor accepted.
    formerly: names that it had before.
    holds: what its artifacts hold. rewritten: they may be made again long after, from what they were
    made of, which is therefore kept as long as they are. files_in: which value names the user's files.
    """

    name: str
    place: str
    retries: int = 2
    resumes_across_code: bool = False
    own_processes: bool = False
    learns: bool = False
    form: int = 1
    formerly: tuple[str, ...] = ()
    holds: Holds = "figures"
    rewritten: bool = False
    files_in: str = ""

    @property
    def module(self) -> str:
        """The module whose reach is the step's code."""
        return self.place.partition(":")[0]

    @functools.cached_property
    def function(self) -> StepFunction:
        """The function, imported now."""
        found: StepFunction = getattr(
            importlib.import_module(self.module), self.place.partition(":")[2]
        )
        return found


@dataclasses.dataclass(frozen=True)
class Outside:
    """Files that the user brought: named by path, identified by content."""

    paths: tuple[Path, ...]
    content: str

    @classmethod
    def files(cls, paths: Sequence[Path]) -> "Outside":
        """Read the files' digests. Their names count from the folder that they share."""
        named = zip(short_names(paths), paths, strict=True)
        return cls(
            tuple(paths), digest_of(x for name, path in named for x in (name, _digest(path)))
        )

    @classmethod
    def folder(cls, path: Path) -> "Outside":
        """Read the digests of all files below a folder; the step is given the folder."""
        inner = sorted(item for item in path.rglob("*") if item.is_file())
        parts = (x for item in inner for x in (str(item.relative_to(path)), _digest(item)))
        return cls((path,), digest_of(parts))


def _digest(path: Path) -> str:
    stat = path.stat()
    return _cached_digest(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=100_000)
def _cached_digest(path: Path, mtime: int, size: int) -> str:
    return file_digest(path)


@functools.cache
def _fingerprint(module: str, *parts: str) -> Fingerprint:
    return fingerprint(module, *parts)


def look_at_code_again() -> None:
    """Let fingerprints tell of the code as it is now: they are taken once for all calls of a stage."""
    _fingerprint.cache_clear()


UNKNOWN = "unknown"
"""Content of an artifact that a plan foresees and nobody has made yet."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a step: with these values, on these inputs.

    Of the values, those that say how and not what (`llm.settings.setting`) are not part of the key.
    label: which of several calls of the step in a stage ("docs-00000"), for people.
    identity: what else names the result (the snapshot of a crawl).
    hints: inputs that save work and cannot change the result, so they are not part of the key.
    notes: what people are told besides why it runs.
    parts: modules that the values choose (`llm.parts`), which are code of this call as the step's are.
    """

    step: Step
    values: Any
    inputs: Mapping[str, Sequence[Reference | Outside]]
    label: str = ""
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    hints: Mapping[str, Sequence[Reference]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Step and label, for people."""
        return f"{self.step.name} {self.label}".strip()

    @functools.cached_property
    def fingerprint(self) -> Fingerprint:
        """The code and libraries of the step and of its parts as they are now."""
        return _fingerprint(self.step.module, *modules(self.parts))

    @functools.cached_property
    def contents(self) -> dict[str, list[str]]:
        """Content digests of the inputs."""
        return {
            name: [item.content for item in items] for name, items in sorted(self.inputs.items())
        }

    @property
    def is_known(self) -> bool:
        """Whether every input has been made, so that there is a key."""
        return all(UNKNOWN not in contents for contents in self.contents.values())

    @functools.cached_property
    def base(self) -> str:
        """Digest of step, values and inputs: the key, but for the code."""
        return digest_plain(
            {
                "step": self.step.name,
                "values": plain(self.values, deciding=True),
                "identity": plain(self.identity),
                "inputs": self.contents,
            }
        )

    @functools.cached_property
    def key(self) -> str:
        """What names the artifact: step, values, inputs and code."""
        return digest_of([self.base, self.fingerprint.digest])

    def describe(self) -> dict[str, Any]:
        """What the manifest records of the call, so that a later one can say what changed."""
        return {
            "step": self.step.name,
            "form": self.step.form,
            "rewritten": self.step.rewritten,
            "label": self.label,
            "key": self.key,
            "base": self.base,
            "values": plain(self.values),
            "paths": paths_in(self.values),
            "identity": dict(self.identity),
            "inputs": {
                name: [
                    item.to_json()
                    if isinstance(item, Reference)
                    else {"files": [p.name for p in item.paths], "content": item.content}
                    for item in items
                ]
                for name, items in self.inputs.items()
            },
            "contents": self.contents,
            "fingerprint": {
                "modules": dict(self.fingerprint.modules),
                "libraries": dict(self.fingerprint.libraries),
            },
        }
