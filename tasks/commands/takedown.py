"""What was taken down, in a store: which documents the list covers, and who has seen them."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.documents import DOC_ID
from llm.corpus.erasure.erased import ERASED
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.erasure.takedown import Takedown, Takedowns, change_list, exclusions
from llm.examples.shards import Shard
from llm.runs import Runs
from llm.store import Artifact, Store
from llm.store.names import Name
from llm.tokens.shards import Shard as TokenShard
from llm.training.pretrain.nights import nights_of
from tasks.commands.quotes import Quotes
from tasks.commands.search import pieces
from tasks.engine.home import Home
from tasks.stages.catalogue import files_in, holds

PIECES = 2
"""Stretches of each text that quotations are looked for by (count)."""


@dataclasses.dataclass
class Found:
    """What the list covers in a store.

    addresses: of documents and unreadable pages by id, "" where a purge took it; urls: all of them,
    of conversations too; quotes: stretches of their texts; files: of the user's own that it was read
    from; copies: other addresses with the same text.
    """

    addresses: dict[bytes, str] = dataclasses.field(default_factory=dict)
    urls: set[str] = dataclasses.field(default_factory=set)
    quotes: Quotes = dataclasses.field(default_factory=Quotes)
    files: set[str] = dataclasses.field(default_factory=set)
    copies: set[str] = dataclasses.field(default_factory=set)

    @property
    def ids(self) -> pa.Array:
        """The ids, sorted."""
        return pa.array(sorted(self.addresses), DOC_ID)

    def of(self, entry: str) -> pa.Array:
        """The ids of what one entry of the list covers, sorted."""
        covered = Exclusions([entry])
        own = (one for one, url in self.addresses.items() if url and covered.covers(url))
        return pa.array(sorted(own), DOC_ID)

    def urls_of(self, entry: str) -> set[str]:
        """The addresses that one entry covers."""
        covered = Exclusions([entry])
        return {url for url in self.urls if covered.covers(url)}


def list_path(home: Home) -> Path:
    """Where the takedown list is."""
    return home.runs.folder / "takedown.json"


def find(store: Store, takedowns: Takedowns) -> Found:
    """Everything in the store that the list covers, by address; what was purged, by id."""
    found = Found()
    covered = Exclusions(exclusions(takedowns))
    quotes = [found.quotes.rows]
    others: set[bytes] = set()
    clusters: list[Artifact] = []
    for artifact in store.artifacts():
        names = artifact.manifest["files"]
        if "clusters.parquet" in names:
            clusters.append(artifact)
        wanted = [name for name in names if _may_name(artifact, name)]
        if not wanted:
            continue
        with store.borrowing():
            folder = store.local(artifact.reference)
            if ERASED in names:
                for one in json.loads((folder / ERASED).read_text("utf8")):
                    found.addresses.setdefault(bytes.fromhex(one), "")
            for name in wanted if covered else ():
                texts = _take_in(folder / name, covered, found)
                if texts is None:
                    continue
                stretches = (piece for text in texts for piece in pieces(text, PIECES))
                quotes.append(Quotes.of(stretches).rows)
                source = files_in(artifact.reference.step)
                named = artifact.manifest
                own = named.get("paths", {}).get(source) or named["values"].get(source)
                found.files |= {own} if own and not own.startswith("builtin:") else set()
    found.quotes = Quotes(np.concatenate(quotes))
    for artifact in clusters if found.addresses else ():
        with store.borrowing():
            others |= _same_cluster(store.local(artifact.reference) / "clusters.parquet", found)
    found.copies = set(_addresses(store, others - found.addresses.keys()))
    return found


def _may_name(artifact: Artifact, name: str) -> bool:
    """Whether a file has rows with addresses, or the ids that a purge left."""
    if name == ERASED:
        return True
    if holds(artifact.reference.step) == "rows":
        return name.endswith(".arrow")
    return name.endswith(".parquet") and name != "clusters.parquet"


def _take_in(path: Path, covered: Exclusions, found: Found) -> list[str] | None:
    """Note what a file says of covered addresses; the texts that it has of them, None: nothing."""
    if path.suffix == ".arrow":
        return _take_in_examples(path, covered, found)
    if path.suffix != ".parquet":
        return None
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "url" not in names:
            return None
        urls = file.read(columns=["url"])["url"]
        rows = covered.among(urls)
        if not rows.any():
            return None
        mask = pa.array(rows)
        listed = urls.filter(mask).to_pylist()
        found.urls |= set(listed)
        if "doc_id" in names and file.schema_arrow.field("doc_id").type == DOC_ID:
            ids = file.read(columns=["doc_id"])["doc_id"].filter(mask).to_pylist()
            found.addresses.update(zip(ids, listed, strict=True))
        if "text" not in names:
            return []
        texts = file.read(columns=["text"])["text"].filter(mask).to_pylist()
        return [text for text in texts if text]


def _take_in_examples(path: Path, covered: Exclusions, found: Found) -> list[str] | None:
    """The same of an example shard: every text that its rows have is one of theirs."""
    texts: list[str] = []
    for batch in Shard.open(path).batches:
        rows = batch.filter(pa.array(covered.among(batch.column("url"))))
        found.urls |= set(rows.column("url").to_pylist())
        own = [name for name in rows.schema.names if name not in ("url", "file")]
        texts += _texts_in(rows.select(own).to_pylist())
    return texts or None


def _texts_in(value: Any) -> list[str]:
    """Every text in nested lists and mappings."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts_in(one)]


def _same_cluster(path: Path, found: Found) -> set[bytes]:
    table = pq.read_table(path, columns=["doc_id", "cluster"])
    own = table.filter(pc.is_in(table["doc_id"], value_set=found.ids))
    same = table.filter(pc.is_in(table["cluster"], value_set=pc.unique(own["cluster"])))
    return set(same["doc_id"].to_pylist())


def _addresses(store: Store, ids: set[bytes]) -> Iterator[str]:
    wanted = pa.array(sorted(ids), DOC_ID)
    for artifact in store.artifacts() if ids else ():
        if holds(artifact.reference.step) != "extracted":
            continue
        with store.borrowing():
            path = store.local(artifact.reference) / "documents.parquet"
            table = pq.read_table(path, columns=["doc_id", "url"])
        rows = table.filter(pc.is_in(table["doc_id"], value_set=wanted))
        yield from (url for url in rows["url"].to_pylist() if url)


class Seen:
    """What was made from documents: tokenizers, models, what was measured on them.

    Followed from inputs to what was made of them, whatever the clocks said.
    """

    def __init__(self, store: Store, runs: Runs, found: Found) -> None:
        """Read every manifest, and which of the found documents each artifact has, once."""
        self.everything = [one for one in store.artifacts() if "contents" in one.manifest]
        self.has = {one.name: _found_in(store, one, found) for one in self.everything}
        self.runs: dict[Name, list[str]] = {}
        for record in runs.each():
            for name in {(ref.step, ref.key) for ref in record.references()}:
                self.runs.setdefault(name, []).append(record.id)
        self.pointers = {
            (ref["step"], ref["key"]): name
            for name, value in runs.pointers().items()
            for ref in (value or {}).get("references", [])
        }

    def by(self, ids: pa.Array, urls: Iterable[str] = ()) -> list[dict[str, Any]]:
        """Who has seen documents with these ids, and conversations at these addresses.

        Each with step, key, label, at (when it was made, Unix seconds), runs, pointers, and
        `certain`: False for a model whose token shards are gone, so that nobody can tell, and for
        what was made from it.
        """
        wanted = {*ids.to_pylist(), *urls}
        fed = [one for one in self.everything if self.has[one.name] & wanted]
        certain = self._made_from(fed)
        known = {
            one.manifest["content"]
            for one in self.everything
            if holds(one.reference.step) == "tokens"
        }
        unknown = [
            one
            for one in self.everything
            if holds(one.reference.step) == "model"
            and {each for night in nights_of(one.manifest["contents"]) for each in night} - known
        ]
        doubtful = {one.name: one for one in unknown} | self._made_from(unknown)
        told = {**doubtful, **certain} if wanted else {}
        return [
            {
                "step": one.reference.step,
                "key": one.reference.key,
                "label": one.manifest["label"],
                "at": one.manifest["made"]["at"],
                "certain": name in certain,
                "runs": self.runs.get(name, []),
                "pointer": self.pointers.get(name),
            }
            for name, one in sorted(told.items(), key=lambda item: item[1].manifest["made"]["at"])
        ]

    def _made_from(self, fed: Sequence[Artifact]) -> dict[Name, Artifact]:
        """What was made from artifacts, and from that; of text and tokens what they hold decides."""
        readers: dict[str, list[Artifact]] = {}
        for one in self.everything:
            for name, contents in one.manifest["contents"].items():
                # A model has not read what its vocabulary was learned from.
                if name != "tokenizer" and holds(one.reference.step) not in TEXT:
                    for content in contents:
                        readers.setdefault(content, []).append(one)
        found: dict[Name, Artifact] = {}
        waiting = list(fed)
        while waiting:
            for reader in readers.get(waiting.pop().manifest["content"], ()):
                if reader.name not in found:
                    found[reader.name] = reader
                    waiting.append(reader)
        return found


TEXT = ("documents", "tokens", "rows")
"""What is text or tokens that something is made from."""


def _found_in(store: Store, artifact: Artifact, found: Found) -> set[bytes | str]:
    """Which of the documents (ids) and conversations (addresses) an artifact has."""
    held = holds(artifact.reference.step)
    if held not in TEXT or not (found.addresses or found.urls):
        return set()
    with store.borrowing():
        folder = store.local(artifact.reference)
        if held == "rows":
            shards = [Shard.open(path) for path in sorted(folder.glob("*.arrow"))]
            urls = (
                url for one in shards for batch in one.batches for url in batch["url"].to_pylist()
            )
            return {url for url in urls if url in found.urls}
        if held == "tokens":
            columns = [
                TokenShard.open(path).documents.column("doc_id")
                for path in sorted(folder.glob("*.arrow"))
            ]
        else:
            columns = [pq.read_table(folder / "documents.parquet", columns=["doc_id"])["doc_id"]]
        ids = found.ids
        return {
            one
            for column in columns
            for one in column.filter(pc.is_in(column, value_set=ids)).to_pylist()
        }


def shards_with(folder: Path, ids: pa.Array) -> list[str]:
    """The token shards of an artifact that hold one of the documents."""
    return [
        path.name
        for path in sorted(folder.glob("*.arrow"))
        if pc.any(pc.is_in(TokenShard.open(path).documents.column("doc_id"), value_set=ids)).as_py()
    ]


def note_seen(home: Home, found: Found) -> Takedowns:
    """Note with each entry of the list what was made from its documents, as far as is new."""
    takedowns = Takedowns.load(list_path(home))
    everyone = Seen(home.store, home.runs, found)
    seen: dict[str, list[dict[str, Any]]] = {}
    for entry in takedowns.entries:
        own, urls = found.of(entry.entry), found.urls_of(entry.entry)
        if entry.purged_at is None or len(own) or urls:
            seen[entry.entry] = everyone.by(own, urls)

    def noted(entry: Takedown) -> Takedown:
        known = {(one["step"], one["key"]): one for one in entry.seen_by}
        for one in seen.get(entry.entry, ()):
            before = known.get((one["step"], one["key"]), {})
            certain = one["certain"] or before.get("certain", False)
            known[one["step"], one["key"]] = {**one, "certain": certain}
        return dataclasses.replace(entry, seen_by=tuple(known.values()))

    return change_list(
        list_path(home), lambda now: Takedowns(tuple(noted(entry) for entry in now.entries))
    )
