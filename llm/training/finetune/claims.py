"""What a task says of each row that it makes, from the example's own text and the folder that it will write.

The step `prove` compares the rows that training reads with this. A claim is made without the code that
encodes the rows, so that a fault there is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llm.examples.shards import Example


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one entry of the rows is to be. An example may make several (a pair for each answer), or none.

    text: what the folder's tokenizer makes the ids of, one text or a pair of them; None: not said.
    begin: ids before these. marked: the tokenizer puts its own marks around them. whole: `text` is all of
    the entry (of an encoder-decoder, of its source); else what stands before the answer.
    answers: the texts that are learned, in order. target: what is to be said of a text, as rows have it.
    """

    text: str | tuple[str, str] | None = None
    begin: tuple[int, ...] = ()
    marked: bool = False
    whole: bool = True
    answers: Sequence[str] = ()
    target: Any = None


Claims = Callable[[Example], Sequence[Claim]]
"""The claims of an example, in the order of its entries in the ledger."""
