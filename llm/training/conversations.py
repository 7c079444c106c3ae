"""Conversations as training rows: encoded, packed several to a row, in an order of every epoch's own.

A conversation of n tokens fills n - 1 positions (each predicts the token after it). Rows of T
positions are filled best fit, longest first, and conversations in a row do not see each other
(segments). Worked example, T = 8, conversations of 6, 4 and 3 tokens:

    positions   a a a a a - - -        b b b c c - - -
    segments    1 1 1 1 1 0 0 0        1 1 1 2 2 0 0 0

Targets are -100 (nothing is learned) but where the next token is part of an answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Shard, place
from llm.step import BadInput
from llm.tokens.chat import encode_messages
from llm.tokens.order import in_epochs
from llm.tokens.packing import best_fit
from llm.tokens.rows import IGNORE
from llm.tokens.special import PADDING
from llm.training.rows import Integers, Rows


@dataclass(frozen=True)
class Example:
    """One conversation: ids (n,), and which of them are learned (n,)."""

    ids: Sequence[int]
    learn: Sequence[bool]


@dataclass(frozen=True)
class Packed:
    """Rows of several conversations each, all (rows, T) int64; see the module's example."""

    tokens: Integers
    targets: Integers
    segments: Integers

    @property
    def answer_tokens(self) -> int:
        """How many tokens are learned, once each."""
        return int((self.targets != IGNORE).sum())

    def save(self, path: Path) -> None:
        """Write one array of (3, rows, T) to an .npy file."""
        with path.open("wb") as file:
            np.save(file, np.stack([self.tokens, self.targets, self.segments]))

    @classmethod
    def open(cls, path: Path) -> "Packed":
        """Map what `save` wrote; the processes of a machine share its memory."""
        return cls(*np.load(path, mmap_mode="r"))


def read(path: Path, tokenizer: Tokenizer, context_length: int) -> tuple[list[Example], int]:
    """The conversations of an example shard, and how many were too long.

    One that is longer than context_length + 1 tokens loses its end, so that the question stays;
    where no answer is left after that, all of it. Raises BadInput naming file and line.
    """
    examples: list[Example] = []
    long = 0
    for one in Shard.open(path).examples(CONVERSATIONS):
        try:
            ids, learn = encode_messages(tokenizer, one.cells[0])
        except ValueError as error:
            raise BadInput(f"{place(one)}: {error}") from error
        if len(ids) > context_length + 1:
            long += 1
            ids, learn = ids[: context_length + 1], learn[: context_length + 1]
        if any(learn[1:]):
            examples.append(Example(ids, learn))
    return examples, long


def pack(examples: Iterable[Example], context_length: int, padding: int) -> Packed:
    """Pack conversations (at most context_length + 1 tokens each) into as few rows as best fit does.

    The same examples in the same order give the same rows.
    """
    examples = sorted(examples, key=lambda one: -len(one.ids))
    needed = np.array([len(example.ids) - 1 for example in examples], dtype=np.int64)
    rows, starts = best_fit(needed, context_length)
    shape = (int(rows.max(initial=-1)) + 1, context_length)
    packed = Packed(np.full(shape, padding), np.full(shape, IGNORE), np.zeros(shape, np.int64))
    members = np.zeros(len(packed.tokens), dtype=np.int64)
    # Longest first is also how they stand in a row.
    for example, row, start in zip(examples, rows.tolist(), starts.tolist(), strict=True):
        ids, learn = np.array(example.ids), np.array(example.learn[1:], dtype=bool)
        span = slice(start, start + len(ids) - 1)
        members[row] += 1
        packed.tokens[row, span] = ids[:-1]
        packed.targets[row, span] = np.where(learn, ids[1:], IGNORE)
        packed.segments[row, span] = members[row]
    return packed


def padding_id(tokenizer: Tokenizer) -> int:
    """What fills the end of a row; no token sees it, none learns it."""
    padding = tokenizer.token_to_id(PADDING)
    assert padding is not None, "conversations are read first, and that needs all special tokens"
    return padding


class Conversations:
    """The training loop's source of rows: each epoch all of them, in an order of its own."""

    def __init__(self, packed: Packed, rows_per_step: int, seed: int) -> None:
        self.packed, self.rows_per_step, self.seed = packed, rows_per_step, seed

    def part(self, step: int, part: int, parts: int) -> Rows:
        """Share part of parts of a step's rows."""
        first, last = (number * self.rows_per_step // parts for number in (part, part + 1))
        chosen = self.rows_of(step)[first:last]
        packed = self.packed
        return Rows(packed.tokens[chosen], packed.targets[chosen], packed.segments[chosen])

    def seen(self, step: int) -> list[int]:
        """The numbers of the rows that the step reads."""
        return [int(row) for row in self.rows_of(step)]

    def rows_of(self, step: int) -> Integers:
        """Which rows a step reads, (rows_per_step,): it may run on into the next epoch."""
        rows = len(self.packed.tokens)
        places = np.arange(step * self.rows_per_step, (step + 1) * self.rows_per_step)
        return in_epochs(places, rows, self.seed)
