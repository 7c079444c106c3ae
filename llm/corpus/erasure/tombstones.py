"""Tombstones: what earlier nights had that the web or the user's files no longer have as it was."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.corpus.documents import DOCUMENTS, identities, read_table


def outdated(tonight: Path, earlier: Sequence[Path]) -> pa.Array:
    """The addresses that tonight's crawl of a source found changed or gone, sorted.

    earlier: the crawls of the same source before it. A crawl of the web says itself what is gone,
    since not every page is reached each night; of other sources, whatever is not there.
    """
    now = _index(tonight)
    told = tonight / "gone.parquet"
    if told.exists():
        gone = pq.read_table(told, columns=["url"])["url"]
        changed = now.filter(pc.equal(now["state"], "changed"))["url"]
        return _sorted([gone, changed])
    found = []
    for folder in earlier:
        before = _index(folder)
        same = now.select(["url", "payload_digest"])
        left = before.join(same, ["url", "payload_digest"], join_type="left anti")
        found.append(left["url"])
    return _sorted(found)


def documents_at(written: Path, addresses: pa.Array) -> set[str]:
    """The ids (hex) of a written shard's documents that were read at these addresses."""
    table = read_table(written / "documents.parquet", DOCUMENTS, ["doc_id", "url"])
    mask = pc.is_in(table["url"], value_set=addresses.cast(pa.string()))
    ids = identities(table["doc_id"].filter(mask))
    return {ids[at : at + 1].tobytes().hex() for at in range(len(ids))}


def documents_in(written: Path) -> set[str]:
    """The ids (hex) of a written shard's documents."""
    ids = identities(read_table(written / "documents.parquet", DOCUMENTS, ["doc_id"])["doc_id"])
    return {ids[at : at + 1].tobytes().hex() for at in range(len(ids))}


def _index(folder: Path) -> pa.Table:
    with pq.ParquetFile(folder / "index.parquet") as file:
        wanted = ("url", "payload_digest", "state")
        return file.read(columns=[name for name in wanted if name in file.schema_arrow.names])


def _sorted(parts: Sequence[pa.ChunkedArray]) -> pa.Array:
    joined = pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
    addresses = pc.unique(joined)
    return addresses.take(pc.sort_indices(addresses))
