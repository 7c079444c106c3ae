"""Examples as training rows: encoded, and packed several to a row.

An example of n tokens fills n - 1 positions (each predicts the token after it). Rows of T positions
are filled best fit, longest first, and examples in a row do not see each other (segments). Worked
example, T = 8, examples of 6, 4 and 3 tokens:

    positions   a a a a a - - -        b b b c c - - -
    segments    1 1 1 1 1 0 0 0        1 1 1 2 2 0 0 0

Targets are -100 (nothing is learned) but where the next token is part of an answer.

On disk are the examples' tokens, each with a bit that says whether it is learned (an Arrow stream,
some 2.2 bytes a token), which of them stand in which row (12 bytes an example), and what became of each
example (`ledger`). They are mapped; rows are put together when they are read.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.durable import replacing
from llm.tokens import arrow
from llm.tokens.packing import best_fit
from llm.tokens.rows import IGNORE
from llm.tokens.shards import token_type
from llm.training.batch import Batch, Integers
from llm.training.finetune.ledger import Ledger

LIBRARIES = ("numpy", "pyarrow")

Bits = np.ndarray[Any, np.dtype[np.bool_]]

# Encoded examples are written when they have this many tokens.
_BATCH_TOKENS = 1 << 20


@dataclass(frozen=True)
class Encoded:
    """One example: ids (n,), and which of them are learned (n,).

    origin: the number in its shard of what it was made of (from 0); None: each is one of the shard's.
    """

    ids: Sequence[int]
    learn: Sequence[bool]
    origin: int | None = None


@dataclass(frozen=True)
class Files:
    """Where a split's rows lie."""

    tokens: Path
    plan: Path

    @classmethod
    def of(cls, folder: Path) -> "Files":
        """The files in a split's folder."""
        return cls(folder / "tokens.arrow", folder / "rows.npy")

    @property
    def folder(self) -> Path:
        """The split's folder."""
        return self.plan.parent


@dataclass(frozen=True)
class Counts:
    """What was packed. too_long: examples that lost their end; empty: those with nothing to learn,
    left out."""

    examples: int
    too_long: int
    empty: int
    rows: int
    learned_tokens: int


def write(
    files: Files,
    examples: Iterable[Encoded],
    context_length: int,
    vocabulary: int,
) -> Counts:
    """Pack examples into as few rows as best fit does.

    One that is longer than context_length + 1 tokens loses its end; where nothing is left to learn
    after that, all of it. The same examples in the same order give the same rows.
    """
    lengths: list[int] = []
    ledger = Ledger()
    learned = too_long = empty = 0
    with (
        replacing(files.tokens) as aside,
        TokenWriter(aside, token_type(vocabulary)) as writer,
    ):
        for example in examples:
            ids, learn = example.ids, example.learn
            if len(ids) > context_length + 1:
                too_long += 1
                ids, learn = ids[: context_length + 1], learn[: context_length + 1]
            count = sum(learn[1:])
            ledger.add(example.origin, len(example.ids), len(ids) if count else 0)
            if not count:
                empty += 1
                continue
            learned += count
            lengths.append(len(ids) - 1)
            writer.add(ids, learn)
    ledger.write(files.folder)
    rows, starts = best_fit(np.array(lengths, dtype=np.int64), context_length)
    return Counts(len(lengths), too_long, empty, write_plan(files.plan, rows, starts), learned)


def write_plan(path: Path, rows: Integers, starts: Integers) -> int:
    """Write which example stands in which row from which place on, in order; how many rows there are."""
    order = np.lexsort((starts, rows))
    with replacing(path) as aside, aside.open("wb") as stream:
        np.save(stream, np.stack([rows[order], starts[order], order]).astype(np.uint32))
    return int(rows.max(initial=-1)) + 1


class Packed:
    """The rows that `write` wrote, mapped: the processes of a machine share their memory."""

    def __init__(self, files: Files, context_length: int, padding: int) -> None:
        """padding: the id that fills the end of a row; no token sees it, none learns it."""
        self.context_length, self.padding = context_length, padding
        self._tokens = Tokens(files.tokens)
        rows, self._starts, self._examples = np.load(files.plan, mmap_mode="r")
        self._count = int(rows[-1]) + 1 if len(rows) else 0
        self._firsts = np.searchsorted(rows, np.arange(self._count + 1))

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def length(self) -> int:
        """Of each row (tokens)."""
        return self.context_length

    def examples(self, number: int) -> list[int]:
        """The examples in a row, by their numbers as they were written, from left to right."""
        found: list[int] = self._examples[self._members(number)].tolist()
        return found

    def owners(self, number: int) -> Mapping[str, Integers]:
        """Of each array of a row, which of its examples each place belongs to: 1, 2, ...; 0: none."""
        members = self._members(number)
        owner = np.zeros(self.context_length, np.int64)
        places = zip(self._starts[members].tolist(), self.examples(number), strict=True)
        for count, (start, example) in enumerate(places, start=1):
            owner[start : start + self._tokens.length(example) - 1] = count
        return {"tokens": owner, "targets": owner, "segments": owner}

    def _members(self, number: int) -> slice:
        return slice(int(self._firsts[number]), int(self._firsts[number + 1]))

    def read(self, numbers: Integers) -> Batch:
        """The rows of these numbers, in this order."""
        shape = (len(numbers), self.context_length)
        tokens, targets = np.full(shape, self.padding), np.full(shape, IGNORE)
        segments = np.zeros(shape, np.int64)
        for row, number in enumerate(numbers.tolist()):
            members = self._members(number)
            columns = (column[members].tolist() for column in (self._starts, self._examples))
            for segment, (start, example) in enumerate(zip(*columns, strict=True), start=1):
                ids, learn = self._tokens.example(example)
                span = slice(start, start + len(ids) - 1)
                tokens[row, span] = ids[:-1]
                np.copyto(targets[row, span], ids[1:], where=learn[1:])
                segments[row, span] = segment
        return Batch.of(tokens=tokens, targets=targets, segments=segments)


class TokenWriter:
    """Writes examples as one column, a list of (id, learn), some million tokens at a time."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._item = pa.struct([("id", pa.from_numpy_dtype(dtype)), ("learn", pa.bool_())])
        self._ids: list[np.ndarray] = []
        self._learn: list[np.ndarray] = []
        self._waiting = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._schema = pa.schema([("tokens", pa.list_(self._item))])
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, ids: Sequence[int], learn: Sequence[bool]) -> None:
        """Append an example."""
        self._ids.append(np.array(ids, self._dtype))
        self._learn.append(np.array(learn, np.bool_))
        self._waiting += len(ids)
        if self._waiting >= _BATCH_TOKENS:
            self._write()

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._ids:
            self._write()
        self._writer.close()
        self._sink.close()

    def _write(self) -> None:
        offsets = np.zeros(len(self._ids) + 1, np.int32)
        np.cumsum([len(ids) for ids in self._ids], out=offsets[1:])
        bits = np.packbits(np.concatenate(self._learn), bitorder="little")
        learn = pa.Array.from_buffers(pa.bool_(), int(offsets[-1]), [None, pa.py_buffer(bits)])
        inner = pa.StructArray.from_arrays(
            [arrow.numbers(np.concatenate(self._ids)), learn], fields=list(self._item)
        )
        lists = pa.ListArray.from_arrays(arrow.numbers(offsets), inner)
        self._writer.write_batch(pa.RecordBatch.from_arrays([lists], schema=self._schema))
        self._ids, self._learn, self._waiting = [], [], 0


class Tokens:
    """The examples of a token file, mapped."""

    def __init__(self, path: Path) -> None:
        with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
            lists = [batch.column(0) for batch in reader]
        self._starts = list(accumulate((len(one) for one in lists), initial=0))
        self._offsets = [arrow.values(one.offsets) for one in lists]
        self._ids = [arrow.values(one.values.field("id")) for one in lists]
        bits = (one.values.field("learn").buffers()[1] for one in lists)
        self._bits = [np.frombuffer(each, np.uint8) for each in bits]

    def length(self, number: int) -> int:
        """How many tokens an example has."""
        _, begin, end = self._place(number)
        return end - begin

    def _place(self, number: int) -> tuple[int, int, int]:
        batch = bisect_right(self._starts, number) - 1
        place = number - self._starts[batch]
        begin, end = self._offsets[batch][place : place + 2].tolist()
        return batch, begin, end

    def example(self, number: int) -> tuple[np.ndarray, Bits]:
        """An example's ids (n,), and which of them are learned (n,)."""
        batch, begin, end = self._place(number)
        packed = self._bits[batch][begin // 8 : (end + 7) // 8]
        learn = np.unpackbits(packed, bitorder="little")[begin % 8 : begin % 8 + end - begin]
        return self._ids[batch][begin:end], learn.astype(np.bool_)
