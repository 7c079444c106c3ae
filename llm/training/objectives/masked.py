"""Masked tokens (BERT, arXiv 1810.04805, section 3.1): what an encoder is trained on.

A share of a row's tokens is learned: of those, 80 % are replaced by the mask, 10 % by a random word,
10 % stay.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from tokenizers import Tokenizer

from llm.tokens.rows import IGNORE
from llm.tokens.special import CLASSIFY, MASK, SENTINELS, SEPARATOR, SPECIAL_TOKENS, special_ids
from llm.training.batch import Batch, BatchSource, Integers
from llm.training.objectives.chance import chance, rows_of_part
from llm.training.objectives.next_token import NextToken
from llm.training.objectives.settings import ObjectiveSettings

MASKED, RANDOM = 0.8, 0.1  # of the learned tokens; the others stay as they are


@dataclass(frozen=True, kw_only=True)
class Hiding:
    """What hiding needs to know: the share, the mask's id, ids that are words (n,)."""

    rate: float
    mask: int
    words: Integers

    @classmethod
    def of(cls, settings: ObjectiveSettings, tokenizer: Tokenizer) -> Self:
        """Raises ValueError where the tokenizer has no mask."""
        mask = special_ids(tokenizer, (MASK,))[MASK]
        return cls(rate=settings.rate, mask=mask, words=_words(tokenizer))

    def hide(self, tokens: Integers, random: np.random.Generator) -> tuple[Integers, Integers]:
        """tokens (T,) → with some hidden, and the targets (T,): those, IGNORE elsewhere.

        Only words are hidden: what ends a document, or fills a row, is not.
        """
        chosen = self.choose(tokens, random)
        count = len(chosen)
        targets = np.full_like(tokens, IGNORE)
        targets[chosen] = tokens[chosen]
        draws = random.random(count)
        hidden = tokens.copy()
        hidden[chosen[draws < MASKED]] = self.mask
        replaced = chosen[(draws >= MASKED) & (draws < MASKED + RANDOM)]
        hidden[replaced] = random.choice(self.words, len(replaced))
        return hidden, targets

    def choose(self, tokens: Integers, random: np.random.Generator) -> Integers:
        """The places in tokens (T,) that are to be hidden: words alone, at least one if there is one."""
        places = np.flatnonzero(np.isin(tokens, self.words))
        count = min(len(places), max(1, round(self.rate * len(places))))
        return random.choice(places, count, replace=False)


def _words(tokenizer: Tokenizer) -> Integers:
    """The ids of tokens that text produces, ascending."""
    special = {*SPECIAL_TOKENS, MASK, CLASSIFY, SEPARATOR, *SENTINELS}
    found = [number for token, number in tokenizer.get_vocab().items() if token not in special]
    return np.array(sorted(found), dtype=np.int64)


class Masked:
    """Rows of `source` (a step has `rows` of them) with tokens hidden."""

    def __init__(self, source: BatchSource, rows: int, seed: int, hiding: Hiding) -> None:
        self.source, self.rows, self.seed, self.hiding = source, rows, seed, hiding

    def part(self, step: int, part: int, parts: int) -> Batch:
        """The part's rows, hidden; their segments stay."""
        whole = self.source.part(step, part, parts)
        tokens, targets = whole["tokens"].copy(), np.empty_like(whole["tokens"])
        for place, row in enumerate(rows_of_part(self.rows, part, parts, len(tokens))):
            tokens[place], targets[place] = self.hiding.hide(
                tokens[place], chance(self.seed, step, row)
            )
        segments = whole.arrays.get("segments")
        if segments is not None:
            targets = np.where(segments == 0, IGNORE, targets)  # padding is not learned
        return Batch.of(tokens=tokens, targets=targets, segments=segments)

    def seen(self, step: int) -> Any:
        """What the source says."""
        return self.source.seen(step)


class MaskedTokens(NextToken):
    """-ln p of each hidden token, given the row, as the model itself sums it."""

    marks: ClassVar[tuple[str, ...]] = (MASK,)

    def __init__(self, hiding: Hiding, seed: int) -> None:
        self.hiding, self.seed = hiding, seed

    @classmethod
    def of(cls, settings: ObjectiveSettings, tokenizer: Tokenizer, seed: int) -> Self:
        """Raises ValueError where the tokenizer has no mask."""
        return cls(Hiding.of(settings, tokenizer), seed)

    def batches(self, source: BatchSource, rows: int) -> BatchSource:
        """Windows with tokens hidden."""
        return Masked(source, rows, self.seed, self.hiding)
