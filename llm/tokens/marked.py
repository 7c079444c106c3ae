"""Whole texts and pairs of them as models read them that tell texts: with marks round them.

    encoder   [CLS] a b c [SEP]        pairs: [CLS] a b c [SEP] x y [SEP]     types 0 0 0 0 0 1 1 1
    others    a b c <end>              pairs: a b c <end> x y <end>

The tokenizer of a model folder puts the same marks, so that `transformers` makes the same ids.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from llm.step import BadInput
from llm.tokens.plain_text import encode_texts
from llm.tokens.special import CLASSIFY, END_OF_TEXT, SEPARATOR

LIBRARIES = ("tokenizers",)

BATCH_TEXTS = 1024

# The first that the tokenizer has: ours, then BERT's, then SentencePiece's.
_BEGINS = (CLASSIFY, "[CLS]")
_SEPARATORS = (SEPARATOR, "[SEP]")
_ENDS = (END_OF_TEXT, "</s>")


@dataclass(frozen=True)
class Marks:
    """What stands before the first text (nothing in most models), and after each. Tokens and ids."""

    begin: tuple[tuple[str, int], ...]
    after: tuple[str, int]

    @classmethod
    def of(cls, tokenizer: Tokenizer, architecture: str) -> "Marks":
        """Raises BadInput where the tokenizer has none."""
        if architecture == "encoder":
            begin = (
                _first(tokenizer, _BEGINS, "which begins a text: add masking to tokenizer.reserve"),
            )
            after = _first(
                tokenizer, _SEPARATORS, "which ends a text: add masking to tokenizer.reserve"
            )
            return cls(begin, after)
        return cls((), _first(tokenizer, _ENDS, "which ends a text"))

    @property
    def begins(self) -> list[int]:
        """The ids before the first text."""
        return [number for _, number in self.begin]

    def template(self) -> TemplateProcessing:
        """What makes a tokenizer put them."""
        begin, end = [f"{token}:0" for token, _ in self.begin], self.after[0]
        return TemplateProcessing(
            single=[*begin, "$A:0", f"{end}:0"],
            pair=[*begin, "$A:0", f"{end}:0", "$B:1", f"{end}:1"],
            special_tokens=[*self.begin, self.after],
        )


def _first(tokenizer: Tokenizer, names: Sequence[str], what: str) -> tuple[str, int]:
    for name in names:
        number = tokenizer.token_to_id(name)
        if number is not None:
            return name, int(number)
    raise BadInput(f"the model's tokenizer has no {' or '.join(names)}, {what}")


class Marked(NamedTuple):
    """A text or a pair with its marks: ids (n,), where the second begins (n: nowhere), tokens cut off."""

    ids: list[int]
    second: int
    cut: int


def encode_marked(
    tokenizer: Tokenizer, marks: Marks, pairs: Sequence[tuple[str, str]], longest: int
) -> Iterator[Marked]:
    """Texts with what is to stand behind them ("": they stand alone), in order.

    Those of more than `longest` tokens lose the ends of their texts, of a pair the longer one first.
    """
    for begin in range(0, len(pairs), BATCH_TEXTS):
        batch = pairs[begin : begin + BATCH_TEXTS]
        firsts = encode_texts(tokenizer, [first for first, _ in batch])
        seconds = iter(encode_texts(tokenizer, [second for _, second in batch if second]))
        for (_, second), first in zip(batch, firsts, strict=True):
            yield _marked(marks, first.ids, next(seconds).ids if second else None, longest)


def _marked(marks: Marks, first: list[int], second: list[int] | None, longest: int) -> Marked:
    end = marks.after[1]
    room = max(0, longest - len(marks.begin) - (1 if second is None else 2))
    whole = len(first) + len(second or ())
    if whole > room:
        other = len(second or ())
        most = max(room - other, room - room // 2) if other else room
        first = first[:most]
        second = None if second is None else second[: room - len(first)]
    ids = [*marks.begins, *first, end]
    place = len(ids)
    if second is not None:
        ids += [*second, end]
    return Marked(ids, place, max(0, whole - room))


def with_marks(tokenizer_json: Path, marks: Marks) -> bytes:
    """The tokenizer of a file as one that puts the marks, as its file has it."""
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.post_processor = marks.template()
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, indent=2).encode()
