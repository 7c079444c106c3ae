"""The conversations of a shard as tokens in the chat template, for training and for suites alike."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

from llm.examples.settings import CONVERSATIONS, PREFERENCES
from llm.examples.shards import Example, Shard, place
from llm.step import BadInput
from llm.tokens.chat import BadConversation, encode_conversations


class InChat(NamedTuple):
    """A conversation: ids (n,), and which of them are an answer or close one (n,)."""

    example: Example
    ids: list[int]
    learn: list[bool]


def in_chat(shard: Shard, tokenizer: Tokenizer) -> Iterator[InChat]:
    """Each conversation in turn, encoded many at a time. Raises BadInput naming file and line."""
    for chunk in shard.chunks(CONVERSATIONS):
        encoded = encode_conversations(tokenizer, [one.cells[0] for one in chunk])
        try:
            for example, (ids, learn) in zip(chunk, encoded, strict=True):
                yield InChat(example, ids, learn)
        except BadConversation as error:
            raise BadInput(f"{place(chunk[error.number])}: {error}") from error
        except ValueError as error:
            raise BadInput(f"the model's tokenizer cannot encode conversations: {error}") from error


def preferences_in_chat(shard: Shard, tokenizer: Tokenizer) -> Iterator[tuple[InChat, InChat]]:
    """Each prompt with its chosen and its rejected answer, of which what answers is learned.

    Raises BadInput naming file and line.
    """
    for chunk in shard.chunks(PREFERENCES):
        both = []
        for example in chunk:
            prompt, *sides = example.cells
            given = [{**message, "train": False} for message in prompt]
            both += [[*given, *side] for side in sides]
        encoded = encode_conversations(tokenizer, both)
        try:
            for example in chunk:
                chosen, rejected = (InChat(example, *next(encoded)) for _ in range(2))
                yield chosen, rejected
        except BadConversation as error:
            raise BadInput(f"{place(chunk[error.number // 2])}: {error}") from error
        except ValueError as error:
            raise BadInput(f"the model's tokenizer cannot encode conversations: {error}") from error


def turns(learn: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where each run of learned tokens begins and ends: 0 0 1 1 0 1 gives (2, 4), (5, 6)."""
    begin = 0
    for at, one in enumerate([*learn, False]):
        if not one:
            if begin < at:
                yield begin, at
            begin = at + 1
