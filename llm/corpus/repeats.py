"""Which passages come again: the whole corpus compared by hash, a range of hashes at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.documents import (
    DECISIONS,
    DOC_ID,
    DOCUMENTS,
    GROUP_ROWS,
    batches,
    content_digest,
    identities,
    identity_column,
    read_table,
    write_rows,
    write_table,
)
from llm.corpus.passages import PASSAGES
from llm.corpus.repeats_settings import RepeatedAll
from llm.durable import replacing
from llm.step import Context, Inputs, StepResult, digest_of
from llm.words import counted

LIBRARIES = ("numpy",)

# What to cut from a document (characters), one row a passage.
SPANS = pa.schema([("doc_id", DOC_ID), ("start", pa.int64()), ("end", pa.int64())])
# Documents of which nothing is left.
EMPTIED = pa.schema([("doc_id", DOC_ID)])
# Hashes of the passages of a night that no earlier one had, sorted, and whose document has each.
SEEN = pa.schema([("high", pa.uint64()), ("low", pa.uint64()), ("doc_id", DOC_ID)])

# Passages in memory at a time: some 150 bytes each while they are sorted.
PARTITION_ROWS = 1_000_000

_RECORD = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("size", "<i8"),  # negative: the longest document comes first
        ("first_id", "<u8"),
        ("last_id", "<u8"),
        ("row", "<i8"),  # in the shard's table, whose rows are by document and place
        ("shard", "<i4"),  # -1: a passage of an earlier night
    ]
)


def find_repeated(values: RepeatedAll, inputs: Inputs, context: Context) -> StepResult:
    """Find what to cut: spans/<shard>.parquet, emptied/<shard>.parquet and seen.parquet.

    inputs: passages (one folder a shard, in the order of `values.shards`), the one of decisions and
    earlier (folders that this step made on earlier nights; may be none) with kept (the documents
    that those nights wrote: passages of others do not count). Only documents that are kept count. A passage stays in the earliest night, there in the longest document (then by
    doc_id) and there at its first place, whatever the order of shards; earlier nights are never
    cut again.
    """
    folders = list(inputs["passages"])
    if len({*values.shards}) < len(values.shards) or len(values.shards) != len(folders):
        raise ValueError(f"{len(values.shards)} shard names for {len(folders)} folders of passages")
    decided = inputs["decisions"][0] / "decisions"
    erased = np.array([bytes.fromhex(one) for one in values.erased], "S16")
    kept = [np.setdiff1d(_kept(decided / f"{shard}.parquet"), erased) for shard in values.shards]
    rows = sum(_rows(folder / "passages.parquet") for folder in folders)
    rows += sum(_rows(folder / "seen.parquet") for folder in inputs.get("earlier", ()))
    spill = _Spill(context.work, 1 + rows // PARTITION_ROWS)
    looked_at = 0
    for number, folder in enumerate(folders):
        looked_at += _spill_shard(spill, number, folder, kept[number])
        context.report.progress(number + 1, 2 * len(folders), "shards")
    written = batches(inputs.get("kept", ()), ["doc_id"], DOCUMENTS)
    ids = [np.zeros(0, "S16"), *(identities(batch["doc_id"]) for batch in written)]
    there = np.sort(np.concatenate(ids))
    for batch in batches(inputs.get("earlier", ()), SEEN.names, SEEN, "seen.parquet"):
        spill.add(_earlier(batch, there))
    cuts = _Cuts(context.work, len(folders))
    seen, digest = _compare(spill, cuts, values.settings.keep, context.out / "seen.parquet")
    share = values.settings.near.overlap if values.settings.near else 0.0
    parts, emptied, spans, characters = {"seen.parquet": digest}, 0, 0, 0
    for number, (shard, folder) in enumerate(zip(values.shards, folders, strict=True)):
        table = read_table(folder / "passages.parquet", PASSAGES)
        chosen = table.take(pa.array(_mostly(table, cuts.read(number), share)))
        empty = _emptied(chosen)
        wanted = chosen.select(SPANS.names)
        write_rows(context.out / "spans" / f"{shard}.parquet", wanted)
        write_table(context.out / "emptied" / f"{shard}.parquet", empty)
        parts[shard] = content_digest(wanted)
        spans, emptied = spans + wanted.num_rows, emptied + empty.num_rows
        characters += int(np.sum(chosen["characters"].to_numpy()))
        context.report.progress(len(folders) + number + 1, 2 * len(folders), "shards")
    cuts.remove()
    return StepResult(
        counts={
            "passages": looked_at,
            "new": seen,
            "cut": spans,
            "cut_characters": characters,
            "emptied": emptied,
        },
        content=digest_of(f"{part} {parts[part]}" for part in sorted(parts)),
        parts=parts,
        summary=f"{spans:,} of {counted(looked_at, values.settings.unit)} removed as repeated; "
        f"{counted(emptied, 'document')} had nothing else",
    )


class _Spill:
    """Records in files by the first bits of their hashes, so that equal ones share a file."""

    def __init__(self, folder: Path, partitions: int) -> None:
        self._bits = min(12, max(0, partitions - 1).bit_length())
        self._paths = [folder / f"passages-{number}.bin" for number in range(1 << self._bits)]
        for path in self._paths:
            path.write_bytes(b"")
        self._waiting: list[np.ndarray] = []

    def add(self, records: np.ndarray) -> None:
        """Append records of any order."""
        self._waiting.append(records)
        if sum(map(len, self._waiting)) >= PARTITION_ROWS:
            self._flush()

    def _flush(self) -> None:
        records = np.concatenate([np.zeros(0, _RECORD), *self._waiting])
        self._waiting = []
        # In two shifts: one of 64 bits is undefined.
        where = (records["high"] >> np.uint64(32)) >> np.uint64(32 - self._bits)
        order = np.argsort(where, kind="stable")
        edges = np.searchsorted(where[order], np.arange(len(self._paths) + 1))
        for path, first, last in zip(self._paths, edges[:-1], edges[1:], strict=True):
            if last > first:
                with path.open("ab") as file:
                    records[order[first:last]].tofile(file)

    def partitions(self) -> Iterator[np.ndarray]:
        """Each file's records, in the order of hashes' ranges; the files go."""
        self._flush()
        for path in self._paths:
            yield np.fromfile(path, _RECORD)
            path.unlink()


class _Cuts:
    """Rows to cut, by shard, in files."""

    def __init__(self, folder: Path, shards: int) -> None:
        self._paths = [folder / f"cut-{number}.bin" for number in range(shards)]
        for path in self._paths:
            path.write_bytes(b"")

    def add(self, records: np.ndarray) -> None:
        for number in np.unique(records["shard"]):
            with self._paths[number].open("ab") as file:
                np.ascontiguousarray(records["row"][records["shard"] == number]).tofile(file)

    def read(self, number: int) -> np.ndarray:
        return np.fromfile(self._paths[number], "<i8")

    def remove(self) -> None:
        for path in self._paths:
            path.unlink()


def _rows(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _kept(path: Path) -> np.ndarray:
    """Ids of the documents that are kept, sorted (K,) as 16 bytes each."""
    table = read_table(path, DECISIONS, ["doc_id", "reason"])
    wanted = np.array([reason == "kept" for reason in table["reason"].to_pylist()], bool)
    return np.sort(_ids(table["doc_id"].combine_chunks())[wanted])


def _ids(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of ids as an array that sorts by their bytes: (N,) of two big-endian numbers."""
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], DOC_ID)
    raw = np.frombuffer(column.buffers()[1] or b"", np.uint8)
    raw = raw[16 * column.offset : 16 * (column.offset + len(column))]
    return np.ascontiguousarray(raw).view("S16")


def _spill_shard(spill: _Spill, number: int, folder: Path, kept: np.ndarray) -> int:
    """Spill the rows of the documents that are kept; returns how many passages that is."""
    columns = ["doc_id", "size", "part", "high", "low"]
    row = count = 0
    for batch in batches([folder], columns, PASSAGES, "passages.parquet"):
        ids = _ids(batch["doc_id"])
        records = np.zeros(batch.num_rows, _RECORD)
        for name in ("high", "low"):
            records[name] = batch[name].to_numpy()
        records["size"] = -batch["size"].to_numpy()
        halves = ids.view(">u8").reshape(-1, 2)
        records["first_id"], records["last_id"] = halves[:, 0], halves[:, 1]
        records["row"] = row + np.arange(batch.num_rows)
        records["shard"] = number
        wanted = np.isin(ids, kept)
        count += int(np.count_nonzero(batch["part"].to_numpy()[wanted] == 0))
        spill.add(records[wanted])
        row += batch.num_rows
    return count


def _earlier(batch: pa.RecordBatch, there: np.ndarray) -> np.ndarray:
    """Passages of an earlier night's documents that are still `there`: they come before tonight's."""
    batch = batch.filter(pa.array(np.isin(identities(batch["doc_id"]), there)))
    records = np.zeros(batch.num_rows, _RECORD)
    for name in ("high", "low"):
        records[name] = batch[name].to_numpy()
    records["size"], records["shard"] = np.iinfo(np.int64).min, -1
    return records


def _compare(spill: _Spill, cuts: _Cuts, keep: str, path: Path) -> tuple[int, str]:
    """Note the rows to cut, and write the hashes of new passages to `path`: their count and digest."""
    new, state = 0, hashlib.blake2b(digest_size=32)
    with replacing(path) as aside, pq.ParquetWriter(aside, SEEN, compression="zstd") as file:
        for records in spill.partitions():
            order = np.lexsort(
                [records[n] for n in ("row", "last_id", "first_id", "size", "low", "high")]
            )
            records = records[order]
            opens = np.ones(len(records), bool)
            opens[1:] = _differ(records, ("high", "low"))
            group = np.cumsum(opens) - 1
            first = np.flatnonzero(opens)
            if keep == "first":
                extra = ~opens
            else:
                elsewhere = np.zeros(len(records), bool)
                elsewhere[1:] = ~opens[1:] & _differ(records, ("shard", "first_id", "last_id"))
                extra = (np.bincount(group, elsewhere, len(first)) > 0)[group]
            cuts.add(records[extra & (records["shard"] >= 0)])
            fresh = records[first[records["shard"][first] >= 0]]
            owners = np.stack([fresh["first_id"], fresh["last_id"]], axis=1).astype(">u8")
            columns = [pa.array(fresh["high"]), pa.array(fresh["low"])]
            columns.append(identity_column(np.frombuffer(owners.tobytes(), "S16")))
            table = pa.table(columns, schema=SEEN)
            file.write_table(table, row_group_size=GROUP_ROWS)
            names = ("high", "low", "first_id", "last_id")
            told = [fresh[name].astype("<u8") for name in names]
            state.update(np.stack(told, axis=1).tobytes())
            new += table.num_rows
    return new, state.hexdigest()


def _differ(records: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Whether each record but the first differs from the one before in any of these: (N - 1,)."""
    different = np.zeros(max(0, len(records) - 1), bool)
    for name in names:
        different |= records[name][1:] != records[name][:-1]
    return different


def _mostly(table: pa.Table, repeated: np.ndarray, share: float) -> np.ndarray:
    """First rows of the passages of whose rows more than this share comes again."""
    first = np.flatnonzero(table["part"].to_numpy() == 0)
    rows = np.diff(np.append(first, table.num_rows))
    passage = np.searchsorted(first, repeated, side="right") - 1
    again = np.bincount(passage, minlength=len(first))
    return first[again > share * rows]


def _emptied(chosen: pa.Table) -> pa.Table:
    """The documents all of whose characters are in the passages chosen, by id."""
    ids = _ids(chosen["doc_id"])
    unique, first, group = np.unique(ids, return_index=True, return_inverse=True)
    gone = np.bincount(group, chosen["characters"].to_numpy(), len(unique)).astype(np.int64)
    rows = np.sort(first[gone == chosen["size"].to_numpy()[first]])
    return chosen.select(["doc_id"]).take(pa.array(rows, pa.int64()))
