"""The examples of a row as training reads it, taken apart; what is wrong with the row itself stops here.

Where each example stands is known from the packing (`Rows.owners`), what stands there from the batch
(`Rows.read`). A row whose examples share a segment, which trains its padding, or learns a token that
does not follow, is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from llm.tokens.rows import IGNORE
from llm.training.batch import REJECTED, Array, Batch, Integers
from llm.training.finetune.task import Rows

LIBRARIES = ("numpy",)

AT_ONCE = 64  # rows that are read together

Wrong = Callable[[int, int | None, str], NoReturn]
"""Stops the run. Of a row, of an example by its number as it was written (None: of all), and what is wrong."""


@dataclass(frozen=True)
class Member:
    """An example as it stands in a row.

    number: as it was written. ids (n,): its tokens, but for a last one that is not learned: no row has it.
    learn (n,): which of them are learned. source: how many of them an encoder reads (of a pair).
    start: what its target starts from. target: what is to be said of a text.
    """

    row: int
    number: int
    ids: Integers
    learn: np.ndarray[Any, np.dtype[np.bool_]]
    source: int = 0
    start: int | None = None
    target: Any = None

    def runs(self) -> list[tuple[int, int]]:
        """Where each run of learned tokens begins and ends."""
        edges = np.flatnonzero(np.diff(np.concatenate(([0], self.learn.view(np.int8), [0]))))
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def members(rows: Rows, wanted: Integers, wrong: Wrong) -> Iterator[Member]:
    """Every example of the rows `wanted`, from the batches that training reads."""
    for first in range(0, len(wanted), AT_ONCE):
        numbers = wanted[first : first + AT_ONCE]
        batch = rows.read(numbers)
        for place, number in enumerate(numbers.tolist()):
            yield from _of_row(rows, batch, place, number, wrong)


def _of_row(rows: Rows, batch: Batch, place: int, number: int, wrong: Wrong) -> Iterator[Member]:
    owners, examples = rows.owners(number), rows.examples(number)
    arrays = {name: array[place] for name, array in batch.arrays.items()}
    if f"{REJECTED}tokens" not in arrays:
        yield from _of_side(arrays, owners, examples, number, wrong)
        return
    for side, other in enumerate((False, True)):
        entries = [2 * example + side for example in examples]
        mine, places = _of_answers(arrays, other), _of_answers(owners, other)
        yield from _of_side(mine, places, entries, number, wrong)


def _of_answers(given: Mapping[str, Array], rejected: bool) -> dict[str, Array]:
    """The arrays of one side of preferences, by their usual names."""
    return {
        name.removeprefix(REJECTED): array
        for name, array in given.items()
        if name.startswith(REJECTED) == rejected and name != "reference"
    }


def _of_side(
    arrays: Mapping[str, Array],
    owners: Mapping[str, Integers],
    examples: Sequence[int],
    number: int,
    wrong: Wrong,
) -> Iterator[Member]:
    def stop(owner: int, what: str) -> NoReturn:
        wrong(number, examples[owner - 1] if owner else None, what)

    _check_segments(arrays, owners, stop)
    if "weights" in arrays:
        _check_weights(arrays["weights"], len(examples), stop)
        yield from _texts(arrays, owners, examples, number)
        return
    padding = (arrays["targets"] != IGNORE) & (owners["targets"] == 0)
    if padding.any():
        trained = int(arrays["targets"][padding][0])
        stop(0, f"the padding behind its examples is trained (token {trained})")
    for owner, example in enumerate(examples, start=1):
        ids, learn = _sequence(arrays, owners["targets"] == owner, owner, stop)
        source, start = 0, None
        begin = arrays["tokens"][owners["tokens"] == owner][:1]
        if "sources" in arrays:
            start = int(begin[0])
            read = arrays["sources"][owners["sources"] == owner]
            source = len(read)
            ids = np.concatenate([read, ids])
            learn = np.concatenate([np.zeros(source, bool), learn])
        else:
            ids, learn = np.concatenate([begin, ids]), np.concatenate([[False], learn])
        if not learn.any():
            stop(owner, "nothing of it is learned")
        yield Member(number, example, ids, learn, source, start)


def _check_segments(
    arrays: Mapping[str, Array],
    owners: Mapping[str, Integers],
    stop: Callable[[int, str], NoReturn],
) -> None:
    """Every place bears the number of its example, so that none is seen by another."""
    for name in ("segments", "source_segments"):
        if name not in owners:
            continue
        if name not in arrays:
            stop(0, f"the row has no {name}: its examples see each other")
        found, owner = arrays[name], owners[name]
        size = min(len(found), len(owner))
        differ = np.flatnonzero(found[:size] != owner[:size])
        if owner[size:].any() or found[size:].any():
            stop(int(owner.max()), "the row ends before it does")
        if len(differ):
            at = int(differ[0])
            stop(
                int(owner[at]),
                f"its place {at} belongs to example {int(owner[at])} of the row and is read as one of example "
                f"{int(found[at])}'s: examples see each other",
            )


def _check_weights(weights: Array, count: int, stop: Callable[[int, str], NoReturn]) -> None:
    there = np.flatnonzero(weights >= 0)
    if len(there) != count or (count and int(there[-1]) != count - 1):
        stop(0, f"the row has {count} texts, and {len(there)} of them are counted")


def _texts(
    arrays: Mapping[str, Array], owners: Mapping[str, Integers], examples: Any, number: int
) -> Iterator[Member]:
    name = "sources" if "sources" in arrays else "tokens"
    for owner, example in enumerate(examples, start=1):
        ids = arrays[name][owners[name][: len(arrays[name])] == owner]
        nothing = np.zeros(len(ids), bool)
        yield Member(number, example, ids, nothing, target=arrays["targets"][owner - 1])


def _sequence(
    arrays: Mapping[str, Array], mine: Any, owner: int, stop: Callable[[int, str], NoReturn]
) -> tuple[Integers, Any]:
    """What follows each place of an example, and whether that is learned; a last one that is not is unknown."""
    tokens, targets = arrays["tokens"][mine], arrays["targets"][mine]
    learn = targets != IGNORE
    following = tokens[1:]
    odd = np.flatnonzero(learn[:-1] & (targets[:-1] != following))
    if len(odd):
        at = int(odd[0])
        stop(owner, f"it learns token {int(targets[at])} where token {int(following[at])} follows")
    if len(learn) and learn[-1]:
        return np.concatenate([following, targets[-1:]]), learn
    return following, learn[:-1]
