"""Example shards: one Arrow IPC stream a split, one row an example, in columns of the task's types.

`datasets.Dataset.from_file` opens them with no code of ours; here they are memory-mapped and read a
batch at a time. Besides the task's columns a row has `url` ("" without one), and `file` and `line`,
where it was read, for messages to people: they are no part of the content.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from llm.corpus.rows.units import unit
from llm.examples.columns import TYPES
from llm.examples.settings import Column
from llm.step import BadInput
from llm.tokens import arrow

LIBRARIES = ("pyarrow",)

SPLITS = ("train", "validation", "test")
"""What shards there may be: the last only where the user gave one."""
METADATA_KEY = b"penstock"

# A batch is written when it has this many examples or characters: it is held whole.
BATCH_ROWS = 4096
BATCH_CHARACTERS = 4_000_000


class Example(NamedTuple):
    """One example: its cells in the order of the columns, its address, and where it was read."""

    cells: tuple[Any, ...]
    url: str = ""
    file: str = ""
    line: int = 0


class ShardWriter:
    """Writes a shard a batch at a time; the same examples give the same bytes."""

    def __init__(self, path: Path, columns: Sequence[Column], split: str) -> None:
        self.columns = columns
        self.rows = 0
        self._names = [column.name for column in columns]
        self._types = [TYPES[column.type] for column in columns]
        self._waiting: list[Example] = []
        self._characters = 0
        self._digest = hashlib.blake2b(digest_size=32)
        metadata = {METADATA_KEY: json.dumps({"split": split}).encode()}
        fields = [
            *((name, kind.arrow) for name, kind in zip(self._names, self._types, strict=True)),
            ("url", pa.large_string()),
            ("file", pa.large_string()),
            ("line", pa.int64()),
        ]
        self._schema = pa.schema(fields, metadata)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, example: Example) -> None:
        """Append an example."""
        self.rows += 1
        self._waiting.append(example)
        self._characters += sum(
            kind.characters(cell) for kind, cell in zip(self._types, example.cells, strict=True)
        )
        if len(self._waiting) == BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._write()

    @property
    def content(self) -> str:
        """Hex digest over all columns but the place, once the shard is closed."""
        return self._digest.hexdigest()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._waiting:
            self._write()
        self._writer.close()
        self._sink.close()

    def _write(self) -> None:
        rows = self._waiting
        cells = zip(*(row.cells for row in rows), strict=True)
        batch = pa.RecordBatch.from_arrays(
            [
                *(kind.column(list(one)) for kind, one in zip(self._types, cells, strict=True)),
                arrow.texts([row.url for row in rows]),
                arrow.texts([row.file for row in rows]),
                arrow.numbers(np.array([row.line for row in rows], np.int64)),
            ],
            schema=self._schema,
        )
        self._digest.update(batch.select([*self._names, "url"]).serialize())
        self._writer.write_batch(batch)
        self._waiting, self._characters = [], 0


@dataclass(frozen=True)
class Shard:
    """A split's examples, mapped: nothing is read before it is asked for."""

    path: Path
    batches: Sequence[pa.RecordBatch]

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Map the file. Raises BadInput when it is no example shard or was cut short."""
        try:
            with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
                if METADATA_KEY not in (reader.schema.metadata or {}):
                    raise KeyError("it was not written by penstock")
                return cls(path, list(reader))
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise BadInput(
                f"{path} is not a whole example shard ({error}): run the finetune stage again"
            ) from error

    def __len__(self) -> int:
        return sum(len(batch) for batch in self.batches)

    def examples(self, columns: Sequence[Column], limit: int | None = None) -> Iterator[Example]:
        """The examples in order, at most `limit` of them. Raises BadInput for a column not there."""
        return islice((one for rows in self.chunks(columns) for one in rows), limit)

    def chunks(self, columns: Sequence[Column]) -> Iterator[list[Example]]:
        """The examples in order, a batch at a time. Raises BadInput for a column not there."""
        for batch in self.batches:
            cells = [TYPES[one.type].cells(self._column(batch, one)) for one in columns]
            urls, files = (batch.column(name).to_pylist() for name in ("url", "file"))
            lines = arrow.values(batch.column("line")).tolist()
            rows = zip(zip(*cells, strict=True), urls, files, lines, strict=True)
            yield [Example(*row) for row in rows]

    def _column(self, batch: pa.RecordBatch, column: Column) -> pa.Array:
        wanted = TYPES[column.type].arrow
        names = batch.schema.names
        if column.name not in names or batch.schema.field(column.name).type != wanted:
            there = ", ".join(f"{one.name} ({one.type})" for one in batch.schema)
            raise BadInput(
                f"{self.path} has no column {column.name!r} of type {wanted}; there are: {there}"
            )
        return batch.column(column.name)


def place(example: Example) -> str:
    """Where an example stands, for people: `mine.jsonl, line 3`, or its address."""
    if example.file:
        return f"{example.file}, {unit(Path(example.file))} {example.line}"
    return example.url or f"an example without a place: {example.cells!r:.200}"
