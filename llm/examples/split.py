"""Examples split into those to learn from and those held out: every step of examples ends here.

What is held out is decided as for documents, by a hash of the address, or of the question where there
is none: adding and editing examples moves no other. An example that would be held out is dropped
where training has its question or its answer, but for case and white space: a page that copies
another's text would make it look learned.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from llm.corpus import documents
from llm.examples.columns import TYPES
from llm.examples.settings import ExampleSettings
from llm.examples.shards import Example, Shard, ShardWriter
from llm.step import BadInput, Context, StepResult, digest_of
from llm.words import counted


def write(
    examples: Iterable[Example],
    values: ExampleSettings,
    context: Context,
    counts: Mapping[str, Any] | None = None,
) -> StepResult:
    """Write train.arrow and validation.arrow.

    Counts: read is train, validation and what is dropped together. dropped: repeated, held-out ones
    that training has too; taken_down, those whose addresses the takedown list covers; and those that
    `counts` brings, which are no part of `examples`. Raises BadInput where none is left to learn from.
    """
    counts = dict(counts or {})
    dropped: Counter[str] = Counter(counts.pop("dropped", {}))
    aside = context.work / "held-out.arrow"
    with (
        ShardWriter(context.out / "train.arrow", values.columns, "train") as train,
        ShardWriter(aside, values.columns, "validation") as held_out,
    ):
        known, erased = array("Q"), set(values.erased)
        for example in examples:
            if erased and example.url and digest_of([example.url]) in erased:
                dropped["taken_down"] += 1
            elif documents.validation(_split_key(example, values), values.validation_fraction):
                held_out.add(example)
            else:
                train.add(example)
                known.extend(_marks(example, values))
    if not train.rows:
        raise BadInput(_nothing(values, held_out.rows, dropped["taken_down"]))
    with ShardWriter(context.out / "validation.arrow", values.columns, "validation") as validation:
        for example in _fresh(Shard.open(aside), values, np.unique(np.array(known, np.uint64))):
            validation.add(example)
    aside.unlink()
    dropped["repeated"] = held_out.rows - validation.rows
    if not validation.rows:
        context.report.warning(
            f"none of {counted(train.rows, 'example')} is held out: what is learned cannot be evaluated"
        )
    kept = train.rows + validation.rows
    return StepResult(
        counts={
            "read": kept + dropped.total(),
            "train": train.rows,
            "validation": validation.rows,
            "dropped": {reason: number for reason, number in sorted(dropped.items()) if number},
            **counts,
        },
        content=digest_of([train.content, validation.content]),
        summary=f"{counted(train.rows, 'example')} for training, {validation.rows:,} for validation",
    )


def _split_key(example: Example, values: ExampleSettings) -> int:
    if example.url:
        return documents.hash64(example.url)
    return documents.hash64("\n".join(_questions(example, values)))


def _questions(example: Example, values: ExampleSettings) -> Iterator[str]:
    for column, cell in zip(values.columns, example.cells, strict=True):
        if not column.answer:
            yield TYPES[column.type].question(cell)


def _marks(example: Example, values: ExampleSettings) -> Iterator[int]:
    """Hashes of what an example shares with none on the other side: its questions and answers."""
    cells = [
        (TYPES[column.type], cell)
        for column, cell in zip(values.columns, example.cells, strict=True)
        if not column.answer
    ]
    asked = "\n".join(kind.asked(cell) for kind, cell in cells)
    for what, text in (
        ("asked", asked),
        *(("answered", kind.answered(cell)) for kind, cell in cells),
    ):
        plain = " ".join(text.split()).casefold()
        if plain:
            yield documents.hash64(f"{what} {plain}")


def _fresh(held_out: Shard, values: ExampleSettings, known: np.ndarray) -> Iterator[Example]:
    """The held-out examples of which training knows nothing. known: sorted hashes."""
    for chunk in held_out.chunks(values.columns):
        marks = [list(_marks(example, values)) for example in chunk]
        flat = np.array([mark for each in marks for mark in each], np.uint64)
        seen = np.isin(flat, known)
        owners = np.repeat(np.arange(len(chunk)), [len(each) for each in marks])
        repeated = np.bincount(owners[seen], minlength=len(chunk)) > 0
        yield from (one for one, gone in zip(chunk, repeated, strict=True) if not gone)


def _nothing(values: ExampleSettings, held_out: int, taken_down: int) -> str:
    lost = f"all {held_out} are held out" if held_out else "there are none"
    lost += f", {taken_down} were taken down" if taken_down else ""
    return (
        f"no examples to learn from in {values.data}: {lost}; give more of them, or lower "
        "tokenize.validation.fraction"
    )
