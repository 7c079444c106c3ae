"""Masked tokens, and whether a sentence follows another (BERT, arXiv 1810.04805, section 3.1).

A row is two half windows, the second one from elsewhere half of the time; T = 11:

    tokens   [CLS] a b c d [SEP] x y z w [SEP]     before some are hidden
    types      0   0 0 0 0   0   1 1 1 1   1
    pair     1 when x follows d, 0 when it comes from elsewhere
"""

from typing import Any, ClassVar, Self

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor, nn

from llm.tokens.special import CLASSIFY, MASK, SEPARATOR, special_ids
from llm.training.batch import Batch, BatchSource, Tensors
from llm.training.objectives.chance import chance, rows_of_part
from llm.training.objectives.masked import Hiding
from llm.training.objectives.settings import ObjectiveSettings

MARKS = 3  # of a row's tokens: the first, and the one behind each half


class MaskedPairs:
    """Rows of two half windows each, with tokens hidden.

    The second half from elsewhere is that of the next step's window at the same place. pairs (B,): 1
    where the second half follows the first, else 0.
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

    def part(self, step: int, part: int, parts: int) -> Batch:
        """The part's rows. Raises ValueError when they are packed: halves need whole windows."""
        here, there = (self.source.part(number, part, parts) for number in (step, step + 1))
        if "segments" in here:
            raise ValueError(
                "objective masked_next_sentence cuts windows in two, and these hold documents apart: "
                "choose concat packing without a document mask, or objective.type masked"
            )
        length = here["tokens"].shape[1]
        half = (length - MARKS) // 2
        rest = length - MARKS - half
        tokens, targets = np.empty_like(here["tokens"]), np.empty_like(here["tokens"])
        types = np.zeros_like(here["tokens"])
        types[:, half + 2 :] = 1
        pairs = np.empty(len(tokens), dtype=np.int64)
        for place, row in enumerate(rows_of_part(self.rows, part, parts, len(tokens))):
            random = chance(self.seed, step, row)
            pairs[place] = random.random() < 0.5
            other = here if pairs[place] else there
            first = here["tokens"][place, :half]
            second = other["tokens"][place % len(other), half : half + rest]
            separator = np.array([self.separator])
            whole = np.concatenate(([self.classify], first, separator, second, separator))
            tokens[place], targets[place] = self.hiding.hide(whole, random)
        return Batch.of(tokens=tokens, targets=targets, types=types, pairs=pairs)

    def seen(self, step: int) -> Any:
        """What the source says of the first halves."""
        return self.source.seen(step)


class MaskedNextSentence:
    """-ln p of each hidden token, and of what each pair is.

    A pair weighs as much as the tokens that are hidden in a row, so that the mean loss is the sum of
    both tasks' means, as in the paper.
    """

    marks: ClassVar[tuple[str, ...]] = (MASK, CLASSIFY, SEPARATOR)

    def __init__(self, hiding: Hiding, classify: int, separator: int, seed: int) -> None:
        self.hiding, self.classify, self.separator, self.seed = hiding, classify, separator, seed

    @classmethod
    def of(cls, settings: ObjectiveSettings, tokenizer: Tokenizer, seed: int) -> Self:
        """Raises ValueError where the tokenizer has no mask or no marks."""
        ids = special_ids(tokenizer, cls.marks)
        return cls(Hiding.of(settings, tokenizer), ids[CLASSIFY], ids[SEPARATOR], seed)

    def batches(self, source: BatchSource, rows: int) -> BatchSource:
        """Pairs of half windows with tokens hidden."""
        return MaskedPairs(source, rows, self.seed, self.hiding, self.classify, self.separator)

    def pair_weight(self, length: int) -> float:
        """How many targets a pair of a row of `length` tokens weighs as much as."""
        return self.hiding.rate * (length - MARKS)

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """Summed over the targets and the weighted pairs, in nats."""
        weight = self.pair_weight(batch["tokens"].shape[1])
        nats: Tensor = model.loss(**batch, pair_weight=weight)  # type: ignore[operator]
        return nats
