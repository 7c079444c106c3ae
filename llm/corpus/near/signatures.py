"""What finding duplicates needs of each document, worked out once: later nights only read it.

A folder holds, for D documents in the order of their ids:
  signatures.parquet  one row each: sizes and digests (`SIGNATURES`)
  keys.bin            (bands, D) uint64, little-endian: MinHash keys, one band after the other
  shingles.bin        uint32, little-endian: each document's word n-grams, sorted
Neither text nor address is in there, so that there is nothing to erase.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.documents import (
    DOC_ID,
    EXTRACTED,
    batches,
    content_digest,
    identities,
    identity_column,
    open_table,
    write_rows,
)
from llm.corpus.near.minhash import band_keys, shingle_sets
from llm.corpus.near.signatures_settings import SignatureSettings
from llm.corpus.text.words import text_bytes
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

LIBRARIES = ("numpy", "numba", "python")

SIGNATURES = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("bytes", pa.int64()),  # of the text, UTF-8
        ("url_bytes", pa.int32()),
        ("url_digest", pa.binary(16)),
        ("text_digest", pa.binary(16)),
        ("shingles", pa.int32()),  # distinct ones
    ]
)


# Text that is hashed at a time: its words and shingles stay in the processor's cache.
_CHUNK_BYTES = 1 << 20


def sign(values: SignatureSettings, inputs: Inputs, context: Context) -> StepResult:
    """Sign one shard's documents. Two threads sign two shards at once: the GIL is free meanwhile."""
    tables, keys = [], []
    shingles = hashlib.blake2b(digest_size=32)
    done = 0
    with (context.out / "shingles.bin").open("wb") as file:
        for rows in batches(inputs["documents"], ["doc_id", "url", "text"], EXTRACTED):
            for chunk in _chunks(rows):
                table, own, flat = _signed(values, chunk)
                tables.append(table)
                keys.append(own)
                data = flat.astype("<u4", copy=False).tobytes()
                file.write(data)
                shingles.update(data)
            done += rows.num_rows
            context.report.progress(done, None, "documents")
    whole = pa.concat_tables(tables) if tables else SIGNATURES.empty_table()
    made = {"words": values.words, "bands": values.bands, "rows": values.rows}
    metadata = {name: str(value) for name, value in made.items()}
    write_rows(context.out / "signatures.parquet", whole.replace_schema_metadata(metadata))
    band_major = np.concatenate([np.zeros((0, values.bands), np.uint64), *keys]).T
    data = np.ascontiguousarray(band_major, "<u8").tobytes()
    (context.out / "keys.bin").write_bytes(data)
    count = int(pc.sum(whole["shingles"]).as_py() or 0)
    return StepResult(
        counts={"documents": done, "shingles": count},
        content=digest_of(
            [
                content_digest(whole),
                *metadata.values(),
                hashlib.blake2b(data).digest(),
                shingles.digest(),
            ]
        ),
        summary=f"{counted(done, 'document')} signed",
    )


def _chunks(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows, cut so that each piece has about as much text as is hashed at a time."""
    _, offsets = text_bytes(rows["text"])
    first = 0
    while first < rows.num_rows:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK_BYTES))
        last = min(max(last, first + 1), rows.num_rows)
        yield rows.slice(first, last - first)
        first = last


def _signed(
    values: SignatureSettings, rows: pa.RecordBatch
) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Some documents' rows, keys (D, bands) and shingles one after the other."""
    flat, bounds = np.zeros(0, np.uint32), np.zeros(rows.num_rows + 1, np.int64)
    if values.bands:
        flat, bounds = shingle_sets(rows["text"], values.words)
    sizes = pc.binary_length(rows["text"])
    columns = [
        rows["doc_id"],
        sizes.cast(pa.int64()),
        pc.binary_length(rows["url"]).cast(pa.int32()),
        _digests(rows["url"].cast(pa.large_string())),
        _digests(rows["text"]),
        pa.array(np.diff(bounds), pa.int32()),
    ]
    keys = np.zeros((rows.num_rows, 0), np.uint64)
    if values.bands:
        keys = band_keys(flat, bounds, values.bands, values.rows)
    return pa.table(columns, schema=SIGNATURES), keys, flat


def _digests(texts: pa.LargeStringArray) -> pa.Array:
    """BLAKE2b (16 bytes) of each text."""
    data, offsets = text_bytes(texts)
    view, places = data.data, offsets.tolist()
    digests = [
        hashlib.blake2b(view[places[at] : places[at + 1]], digest_size=16).digest()
        for at in range(len(texts))
    ]
    return identity_column(np.frombuffer(b"".join(digests), "S16"))


class Signatures:
    """The signatures of several folders as one list of N documents; what is asked for is read."""

    def __init__(self, folders: Sequence[Path], settings: SignatureSettings) -> None:
        """Raises BadInput where a folder was signed with other settings."""
        self.folders = list(folders)
        self.bases = [0]  # of each folder's documents, and N
        expected = (settings.words, settings.bands, settings.rows)
        for folder in self.folders:
            with open_table(folder / "signatures.parquet", SIGNATURES) as file:
                metadata = file.schema_arrow.metadata or {}
                self.bases.append(self.bases[-1] + file.metadata.num_rows)
            made = tuple(int(metadata.get(name, b"-1")) for name in (b"words", b"bands", b"rows"))
            if made != expected:
                raise BadInput(
                    f"{folder} was signed with words, bands, rows = {made}, the recipe has "
                    f"{expected}; sign those documents again"
                )

    def __len__(self) -> int:
        return self.bases[-1]

    def numbers(self, name: str, folder: int | None = None) -> np.ndarray:
        """A column of figures, of one folder or of all."""
        return np.concatenate([np.zeros(0, int), *(c.to_numpy() for c in self._read(name, folder))])

    def digests(self, name: str, folder: int | None = None) -> np.ndarray:
        """A column of 16-byte identities or digests (N,) S16, of one folder or of all."""
        return np.concatenate([np.zeros(0, "S16"), *map(identities, self._read(name, folder))])

    def band(self, band: int, folder: int | None = None) -> np.ndarray:
        """One band's keys (N,) uint64, of one folder or of all."""
        numbers = range(len(self.folders)) if folder is None else (folder,)
        parts = [np.zeros(0, np.uint64)]
        for number in numbers:
            count = self.bases[number + 1] - self.bases[number]
            path = self.folders[number] / "keys.bin"
            part = np.fromfile(path, "<u8", count, offset=8 * count * band)
            if len(part) != count:
                raise BadInput(f"{path} is cut short; make that artifact again")
            parts.append(part)
        return np.concatenate(parts)

    def rows(self, folder: int) -> slice:
        """Which documents lie in a folder."""
        return slice(self.bases[folder], self.bases[folder + 1])

    def numbers_of(self, name: str, positions: np.ndarray) -> np.ndarray:
        """`numbers` of some documents (positions ascending)."""
        return self._of(lambda folder: self.numbers(name, folder), positions, np.zeros(0, int))

    def digests_of(self, name: str, positions: np.ndarray) -> np.ndarray:
        """`digests` of some documents (positions ascending)."""
        return self._of(lambda folder: self.digests(name, folder), positions, np.zeros(0, "S16"))

    def band_of(self, band: int, positions: np.ndarray) -> np.ndarray:
        """`band` of some documents (positions ascending)."""
        empty = np.zeros(0, np.uint64)
        return self._of(lambda folder: self.band(band, folder), positions, empty)

    def _of(
        self, read: Callable[[int], np.ndarray], positions: np.ndarray, empty: np.ndarray
    ) -> np.ndarray:
        parts = [empty]
        for folder in range(len(self.folders)):
            first, last = np.searchsorted(positions, self.bases[folder : folder + 2])
            if first < last:
                parts.append(read(folder)[positions[first:last] - self.bases[folder]])
        return np.concatenate(parts)

    def shingles(self, positions: np.ndarray) -> Iterator[bytes]:
        """The shingles of each of these documents (positions ascending), as they lie in the files."""
        for number, folder in enumerate(self.folders):
            first, last = np.searchsorted(positions, self.bases[number : number + 2])
            if first == last:
                continue
            rows = positions[first:last] - self.bases[number]
            counts = self.numbers("shingles", number).astype(np.int64)
            starts = (np.cumsum(counts) - counts)[rows]
            with (folder / "shingles.bin").open("rb") as file:
                for start, count in zip(starts.tolist(), counts[rows].tolist(), strict=True):
                    file.seek(4 * start)
                    data = file.read(4 * count)
                    if len(data) != 4 * count:
                        raise BadInput(f"{file.name} is cut short; make that artifact again")
                    yield data

    def _read(self, name: str, folder: int | None) -> Iterator[pa.ChunkedArray]:
        folders = self.folders if folder is None else [self.folders[folder]]
        for one in folders:
            with open_table(one / "signatures.parquet", SIGNATURES) as file:
                yield file.read(columns=[name])[name]


class Spill:
    """Sets of shingles in one file, mapped into memory: how much of it is held is up to `rest`."""

    def __init__(self, path: Path, sets: Iterable[bytes]) -> None:
        self._path = path
        with path.open("wb") as file:
            lengths = np.fromiter((file.write(data) for data in sets), np.int64) // 4
        self.ends = np.cumsum(lengths)  # (M,) int64
        self.starts = self.ends - lengths
        self.flat = np.zeros(0, np.uint32)
        self._map: mmap.mmap | None = None
        if path.stat().st_size:
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
            self.flat = np.frombuffer(self._map, "<u4")

    def rest(self, done: int = 0) -> None:
        """Let go of the pages in memory; they are read again where they are needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def remove(self) -> None:
        """Remove the file; nothing of it may be used any more."""
        self._path.unlink()
