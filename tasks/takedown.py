"""What was taken down, in a store: which documents the list covers, and who has seen them."""

import dataclasses
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.documents import DOC_ID
from llm.corpus.erasure.erased import ERASED
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.erasure.takedown import Takedown, Takedowns, change_list, exclusions
from llm.runs import Runs
from llm.store import Artifact, Store
from llm.tokens.shards import Shard
from llm.training.nights import nights_of
from tasks.home import Home
from tasks.search import pieces

# Pieces of text that quotations are looked for by: of each document, and of all.
PIECES, MOST_PIECES = 2, 200


@dataclasses.dataclass
class Found:
    """What the list covers in a store.

    addresses: of documents and unreadable pages by id, "" where a purge took it; urls: all of them;
    quotes: pieces of their texts; files: of the user's own that it was read from; copies: other
    addresses with the same text.
    """

    addresses: dict[bytes, str] = dataclasses.field(default_factory=dict)
    urls: set[str] = dataclasses.field(default_factory=set)
    quotes: list[bytes] = dataclasses.field(default_factory=list)
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


def list_path(home: Home) -> Path:
    """Where the takedown list is."""
    return home.runs.folder / "takedown.json"


def find(store: Store, takedowns: Takedowns) -> Found:
    """Everything in the store that the list covers, by address; what was purged, by id."""
    found = Found()
    covered = Exclusions(exclusions(takedowns))
    clusters: list[Path] = []
    for artifact in store.artifacts():
        names = artifact.manifest["files"]
        if ERASED in names:
            text = (store.local(artifact.reference) / ERASED).read_text("utf8")
            for one in json.loads(text):
                found.addresses.setdefault(bytes.fromhex(one), "")
        for name in names:
            if not name.endswith(".parquet"):
                continue
            path = store.local(artifact.reference) / name
            if name == "clusters.parquet":
                clusters.append(path)
            elif covered and _take_in(path, covered, found) and artifact.reference.step == "crawl":
                own = artifact.manifest["values"].get("path")
                found.files |= {own} if own else set()
    # Whatever is cut, no script and no way of writing it goes before the others.
    found.quotes = sorted(set(found.quotes), key=zlib.crc32)[:MOST_PIECES]
    if found.addresses:
        others = {one for path in clusters for one in _same_cluster(path, found)}
        found.copies = set(_addresses(store, others - found.addresses.keys()))
    return found


def _take_in(path: Path, covered: Exclusions, found: Found) -> bool:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "url" not in names:
            return False
        urls = file.read(columns=["url"])["url"]
        rows = covered.among(urls)
        if not rows.any():
            return False
        mask = pa.array(rows)
        listed = urls.filter(mask).to_pylist()
        found.urls |= set(listed)
        if "doc_id" in names and file.schema_arrow.field("doc_id").type == DOC_ID:
            ids = file.read(columns=["doc_id"])["doc_id"].filter(mask).to_pylist()
            found.addresses.update(zip(ids, listed, strict=True))
        if "text" in names and len(found.quotes) < 10 * MOST_PIECES:
            for text in file.read(columns=["text"])["text"].filter(mask).to_pylist():
                found.quotes += pieces(text or "", PIECES)
    return True


def _same_cluster(path: Path, found: Found) -> set[bytes]:
    table = pq.read_table(path, columns=["doc_id", "cluster"])
    own = table.filter(pc.is_in(table["doc_id"], value_set=found.ids))
    same = table.filter(pc.is_in(table["cluster"], value_set=pc.unique(own["cluster"])))
    return set(same["doc_id"].to_pylist())


def _addresses(store: Store, ids: set[bytes]) -> Iterator[str]:
    wanted = pa.array(sorted(ids), DOC_ID)
    for artifact in store.artifacts("extract") if ids else ():
        path = store.local(artifact.reference) / "documents.parquet"
        table = pq.read_table(path, columns=["doc_id", "url"])
        rows = table.filter(pc.is_in(table["doc_id"], value_set=wanted))
        yield from (url for url in rows["url"].to_pylist() if url)


def seen_by(store: Store, runs: Runs, ids: pa.Array) -> list[dict[str, Any]]:
    """What was made from documents: tokenizers, models, what was measured on them.

    Each with step, key, label, at (when it was made, Unix seconds), runs, pointers, and `certain`:
    False for a model whose token shards are gone, so that nobody can tell.
    """
    everything = list(store.artifacts())
    tainted = {one.manifest["content"] for one in everything if _feeds(store, one, ids)}
    known = {one.manifest["content"] for one in everything if one.reference.step == "tokenize"}
    records = runs.all()
    pointers = {
        (ref["step"], ref["key"]): name
        for name, value in runs.pointers().items()
        for ref in (value or {}).get("references", [])
    }
    seen = []
    # What is made later reads only what was made before.
    for one in sorted(everything, key=lambda item: item.manifest["made"]["at"]):
        reference, contents = one.reference, one.manifest["contents"]
        # A model has not read what its vocabulary was learned from.
        certain = any(
            content in tainted
            for name, listed in contents.items()
            if name != "tokenizer"
            for content in listed
        )
        read = {content for night in nights_of(contents) for content in night}
        unknown = reference.step == "pretrain" and read - known
        if not (certain or unknown) or reference.step in ("tokenize", "write"):
            continue
        if certain:
            tainted.add(reference.content)
        own = (reference.step, reference.key)
        seen.append(
            {
                "step": reference.step,
                "key": reference.key,
                "label": one.manifest["label"],
                "at": one.manifest["made"]["at"],
                "certain": certain,
                "runs": [
                    record.id
                    for record in records
                    if any((ref.step, ref.key) == own for ref in record.references())
                ],
                "pointer": pointers.get(own),
            }
        )
    return seen


def _feeds(store: Store, artifact: Artifact, ids: pa.Array) -> bool:
    """Whether an artifact is text or tokens of one of the documents that something was made from."""
    step = artifact.reference.step
    if step not in ("write", "tokenize") or not len(ids):
        return False
    folder = store.local(artifact.reference)
    if step == "tokenize":
        return bool(shards_with(folder, ids))
    listed = pq.read_table(folder / "documents.parquet", columns=["doc_id"])["doc_id"]
    return bool(pc.any(pc.is_in(listed, value_set=ids)).as_py())


def shards_with(folder: Path, ids: pa.Array) -> list[str]:
    """The token shards of an artifact that hold one of the documents."""
    return [
        path.name
        for path in sorted(folder.glob("*.arrow"))
        if pc.any(pc.is_in(Shard.open(path).documents.column("doc_id"), value_set=ids)).as_py()
    ]


def note_seen(home: Home, found: Found) -> Takedowns:
    """Note with each entry of the list what was made from its documents, as far as is new."""
    takedowns = Takedowns.load(list_path(home))
    seen = {
        entry.entry: seen_by(home.store, home.runs, found.of(entry.entry))
        for entry in takedowns.entries
        if entry.purged_at is None or len(found.of(entry.entry))
    }

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
