"""Masked tokens, and whether a sentence follows another (BERT, arXiv 1810.04805, section 3.1).

A share of a row's tokens is learned: of those, 80 % are replaced by the mask, 10 % by a random word,
10 % stay. For the second task a row is two half windows, the second one from elsewhere half of the
time; T = 11:

    tokens   [CLS] a b c d [SEP] x y z w [SEP]     before some are hidden
    types      0   0 0 0 0   0   1 1 1 1   1
    pair     1 when x follows d, 0 when it comes from elsewhere
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.tokens.rows import IGNORE
from llm.training.objectives.chance import chance, rows_of_part
from llm.training.rows import BatchSource, Integers, Rows

MASKED, RANDOM = 0.8, 0.1  # of the learned tokens; the others stay as they are


@dataclass(frozen=True, kw_only=True)
class Hiding:
    """What hiding needs to know: the share, the mask's id, ids that are words (n,)."""

    rate: float
    mask: int
    words: Integers

    def hide(self, tokens: Integers, random: np.random.Generator) -> tuple[Integers, Integers]:
        """tokens (T,) → with some hidden, and the targets (T,): those, IGNORE elsewhere.

        Only words are hidden: what ends a document, or fills a row, is not.
        """
        places = np.flatnonzero(np.isin(tokens, self.words))
        count = min(len(places), max(1, round(self.rate * len(places))))
        chosen = random.choice(places, count, replace=False)
        targets = np.full_like(tokens, IGNORE)
        targets[chosen] = tokens[chosen]
        draws = random.random(count)
        hidden = tokens.copy()
        hidden[chosen[draws < MASKED]] = self.mask
        replaced = chosen[(draws >= MASKED) & (draws < MASKED + RANDOM)]
        hidden[replaced] = random.choice(self.words, len(replaced))
        return hidden, targets


class Masked:
    """Rows of `source` (a step has `rows` of them) with tokens hidden."""

    def __init__(self, source: BatchSource, rows: int, seed: int, hiding: Hiding) -> None:
        self.source, self.rows, self.seed, self.hiding = source, rows, seed, hiding

    def part(self, step: int, part: int, parts: int) -> Rows:
        """The part's rows, hidden; their segments stay."""
        whole = self.source.part(step, part, parts)
        tokens, targets = whole.tokens.copy(), np.empty_like(whole.tokens)
        for place, row in enumerate(rows_of_part(self.rows, part, parts, len(tokens))):
            tokens[place], targets[place] = self.hiding.hide(
                tokens[place], chance(self.seed, step, row)
            )
        if whole.segments is not None:
            targets = np.where(whole.segments == 0, IGNORE, targets)  # padding is not learned
        return Rows(tokens, targets, whole.segments)

    def seen(self, step: int) -> Any:
        """What the source says."""
        return self.source.seen(step)


class MaskedPairs:
    """Rows of two half windows each, with tokens hidden.

    The second half from elsewhere is that of the next step's window at the same place. A pair
    weighs as much as the tokens that are hidden in a row, so that the loss is the sum of both
    tasks' means, as in the paper.
    """

    def __init__(
        self,
        source: BatchSource,
        rows: int,
        seed: int,
        hiding: Hiding,
        classify: int,
        separator: int,
    ) -> None:
        self.source, self.rows, self.seed, self.hiding = source, rows, seed, hiding
        self.classify, self.separator = classify, separator

    def part(self, step: int, part: int, parts: int) -> Rows:
        """The part's rows. Raises ValueError when they are packed: halves need whole windows."""
        here, there = (self.source.part(number, part, parts) for number in (step, step + 1))
        if here.segments is not None:
            raise ValueError(
                "objective masked_next_sentence cuts windows in two, and these hold documents apart: "
                "choose concat packing without a document mask, or objective.type masked"
            )
        length = here.tokens.shape[1]
        half = (length - 3) // 2
        rest = length - 3 - half
        tokens, targets = np.empty_like(here.tokens), np.empty_like(here.tokens)
        types = np.zeros_like(here.tokens)
        types[:, half + 2 :] = 1
        pairs = np.empty(len(tokens), dtype=np.int64)
        for place, row in enumerate(rows_of_part(self.rows, part, parts, len(tokens))):
            random = chance(self.seed, step, row)
            pairs[place] = random.random() < 0.5
            other = here if pairs[place] else there
            first = here.tokens[place, :half]
            second = other.tokens[place % len(other.tokens), half : half + rest]
            separator = np.array([self.separator])
            whole = np.concatenate(([self.classify], first, separator, second, separator))
            tokens[place], targets[place] = self.hiding.hide(whole, random)
        weight = self.hiding.rate * (length - 3)
        return Rows(tokens, targets, types=types, pairs=pairs, pair_weight=weight)

    def seen(self, step: int) -> Any:
        """What the source says of the first halves."""
        return self.source.seen(step)
