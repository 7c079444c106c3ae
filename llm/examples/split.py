"""Examples split into those to learn from and those held out: every step of examples ends here.

What is held out is decided as for documents, by a hash of the address, or of the question where there
is none: adding and editing examples moves no other. An example that would be held out is dropped
where training has its question or its answer, but for case and white space: a page that copies
another's text would make it look learned.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
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
    given: Mapping[str, Iterable[Example]] | None = None,
    bad: Callable[[], int] = lambda: 0,
) -> StepResult:
    """Write train.arrow, validation.arrow and, where it is given, test.arrow.

    given: splits that the user made: they are taken as they are, and what they share with training is
    counted (leaks). Where validation is given, nothing of `examples` is held out.
    Counts: read is train, validation, test and what is dropped together. dropped: repeated, held-out
    ones that training has too; taken_down, those whose addresses the takedown list covers; bad, as
    many as `bad` says at the end; and those that `counts` brings, which are no part of `examples`. Raises
    BadInput where none is left to learn from.
    """
    counts, given = dict(counts or {}), given or {}
    dropped: Counter[str] = Counter(counts.pop("dropped", {}))
    fraction = 0.0 if "validation" in given else values.validation_fraction
    aside = context.work / "held-out.arrow"
    shards = {
        split: ShardWriter(context.out / f"{split}.arrow", values.columns, split)
        for split in ("train", "validation", *given)
    }
    known = array("Q")
    erased = _Erased(values.erased, dropped)
    with shards["train"] as train, ShardWriter(aside, values.columns, "validation") as held_out:
        for example in erased.without(examples):
            if documents.validation(_split_key(example, values), fraction):
                held_out.add(example)
            else:
                train.add(example)
                known.extend(_marks(example, values))
    if not train.rows:
        raise BadInput(_nothing(values, held_out.rows, dropped["taken_down"]))
    marks = np.unique(np.array(known, np.uint64))
    if "validation" not in given:
        with shards["validation"] as validation:
            for example in _fresh(Shard.open(aside), values, marks):
                validation.add(example)
        dropped["repeated"] = held_out.rows - validation.rows
    aside.unlink()
    for split, there in given.items():
        with shards[split] as shard:
            for example in erased.without(there):
                shard.add(example)
    leaks = {split: _leaks(context.out / f"{split}.arrow", values, marks) for split in given}
    dropped["bad"] = bad()
    _warn(shards, leaks, context)
    return _result(shards, dropped, {**({"leaks": leaks} if given else {}), **counts})


def _result(
    shards: Mapping[str, ShardWriter], dropped: Counter[str], more: Mapping[str, Any]
) -> StepResult:
    sizes = {split: shard.rows for split, shard in shards.items()}
    return StepResult(
        counts={
            "read": sum(sizes.values()) + dropped.total(),
            **sizes,
            "dropped": {reason: number for reason, number in sorted(dropped.items()) if number},
            **more,
        },
        content=digest_of([shard.content for shard in shards.values()]),
        summary=_summary(sizes),
    )


def _summary(sizes: Mapping[str, int]) -> str:
    others = "".join(f", {sizes[split]:,} for {split}" for split in sizes if split != "train")
    return f"{counted(sizes['train'], 'example')} for training{others}"


class _Erased:
    """Leaves out what was taken down, and counts it."""

    def __init__(self, digests: Sequence[str], dropped: Counter[str]) -> None:
        self.digests, self.dropped = set(digests), dropped

    def without(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The others."""
        for example in examples:
            if self.digests and example.url and digest_of([example.url]) in self.digests:
                self.dropped["taken_down"] += 1
            else:
                yield example


def _leaks(path: Path, values: ExampleSettings, known: np.ndarray) -> int:
    """How many examples of a shard training has too."""
    chunks = Shard.open(path).chunks(values.columns)
    return sum(int(_repeats(chunk, values, known).sum()) for chunk in chunks)


def _warn(shards: Mapping[str, ShardWriter], leaks: Mapping[str, int], context: Context) -> None:
    if not shards["validation"].rows:
        rows = counted(shards["train"].rows, "example")
        context.report.warning(f"none of {rows} is held out: what is learned cannot be evaluated")
    for split, number in leaks.items():
        if number:
            context.report.warning(
                f"{number:,} of {counted(shards[split].rows, 'example')} for {split} stand in the training "
                "data too: figures on them flatter the model"
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
    """The held-out examples that training does not have."""
    for chunk in held_out.chunks(values.columns):
        repeats = _repeats(chunk, values, known)
        yield from (one for one, repeated in zip(chunk, repeats, strict=True) if not repeated)


def _repeats(chunk: Sequence[Example], values: ExampleSettings, known: np.ndarray) -> np.ndarray:
    """Which of the examples training has too, (N,) bool. known: sorted hashes of what it has."""
    marks = [list(_marks(example, values)) for example in chunk]
    flat = np.array([mark for each in marks for mark in each], np.uint64)
    owners = np.repeat(np.arange(len(chunk)), [len(each) for each in marks])
    return np.bincount(owners[np.isin(flat, known)], minlength=len(chunk)) > 0


def _nothing(values: ExampleSettings, held_out: int, taken_down: int) -> str:
    lost = f"all {held_out} are held out" if held_out else "there are none"
    lost += f", {taken_down} were taken down" if taken_down else ""
    return (
        f"no examples to learn from in {values.data}: {lost}; give more of them, or lower "
        "tokenize.validation.fraction"
    )
