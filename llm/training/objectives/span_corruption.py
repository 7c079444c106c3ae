"""Span corruption (T5, arXiv 1910.10683, section 3.1.4): hidden spans are asked for by sentinels.

Worked example, a window of 9 tokens, 3 of them hidden in 2 spans; `<A>`, `<B>`, `<C>` are
sentinels, `_` is what a decoder starts with:

    window    a b c d e f g h i
    sources   a b <A> e f g <B> i
    tokens    _ <A> c d <B> h
    targets   <A> c d <B> h <C>

Every window of a length has as many hidden tokens and spans, so rows need no padding.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from tokenizers import Tokenizer

from llm.tokens.special import PADDING, SENTINELS, special_ids
from llm.training.batch import Batch, BatchSource, Integers
from llm.training.objectives.chance import chance, rows_of_part
from llm.training.objectives.next_token import NextToken
from llm.training.objectives.settings import ObjectiveSettings, sizes


def _cut(total: int, pieces: int, random: np.random.Generator) -> Integers:
    """Lengths of `pieces` pieces of at least one, together `total`, each way as likely: (pieces,)."""
    cuts = np.sort(random.choice(total - 1, pieces - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


class SpanCorruption:
    """Windows of `source` (a step has `rows` of them) as pairs of sources and targets."""

    def __init__(
        self,
        source: BatchSource,
        rows: int,
        seed: int,
        rate: float,
        mean_span: float,
        sentinels: Sequence[int],
        start: int,
    ) -> None:
        self.source, self.rows, self.seed = source, rows, seed
        self.rate, self.mean_span = rate, mean_span
        self.sentinels, self.start = np.array(sentinels, dtype=np.int64), start

    def part(self, step: int, part: int, parts: int) -> Batch:
        """The part's rows. Raises ValueError when windows are packed or need more sentinels."""
        windows = self.source.part(step, part, parts)
        if "segments" in windows:
            raise ValueError(
                "objective span_corruption reads whole windows, and these hold documents apart: "
                "choose concat packing without a document mask"
            )
        made = [
            self.corrupt(windows["tokens"][place], chance(self.seed, step, row))
            for place, row in enumerate(rows_of_part(self.rows, part, parts, len(windows)))
        ]
        sources, targets = (np.stack(values) for values in zip(*made, strict=True))
        tokens = np.empty_like(targets)
        tokens[:, 0], tokens[:, 1:] = self.start, targets[:, :-1]
        return Batch.of(tokens=tokens, targets=targets, sources=sources)

    def corrupt(self, window: Integers, random: np.random.Generator) -> tuple[Integers, Integers]:
        """window (T,) → sources (T - hidden + spans,), targets (hidden + spans + 1,)."""
        hidden, spans = sizes(len(window), self.rate, self.mean_span)
        if spans >= len(self.sentinels):
            least = hidden / (len(self.sentinels) - 1.5)
            raise ValueError(
                f"objective span_corruption hides {spans} spans in {len(window)} tokens, and there "
                f"are {len(self.sentinels)} sentinels: set objective.mean_span to {least:.1f} or "
                "more, or lower model.context_length"
            )
        # Something is shown between spans; before the first and after the last, perhaps nothing.
        shown = _cut(len(window) - hidden + 2, spans + 1, random)
        shown[[0, -1]] -= 1
        lengths = np.empty(2 * spans + 1, dtype=np.int64)
        lengths[::2], lengths[1::2] = shown, _cut(hidden, spans, random)
        pieces = np.split(window, np.cumsum(lengths)[:-1])
        sources, asked = pieces.copy(), pieces.copy()
        sentinels = np.split(self.sentinels[: spans + 1], spans + 1)
        sources[1::2], asked[::2] = sentinels[:-1], sentinels
        return np.concatenate(sources), np.concatenate(asked)

    def seen(self, step: int) -> Any:
        """What the source says."""
        return self.source.seen(step)


class Spans(NextToken):
    """The tokens of hidden spans, given what was not hidden, as the model itself sums them."""

    marks: ClassVar[tuple[str, ...]] = (PADDING, *SENTINELS)

    def __init__(
        self, settings: ObjectiveSettings, sentinels: Sequence[int], start: int, seed: int
    ) -> None:
        self.settings, self.sentinels, self.start, self.seed = settings, sentinels, start, seed

    @classmethod
    def of(cls, settings: ObjectiveSettings, tokenizer: Tokenizer, seed: int) -> Self:
        """Raises ValueError where the tokenizer has no sentinels."""
        ids = special_ids(tokenizer, cls.marks)
        return cls(settings, [ids[name] for name in SENTINELS], ids[PADDING], seed)

    def batches(self, source: BatchSource, rows: int) -> BatchSource:
        """Windows as pairs of sources and targets."""
        rate, mean_span = self.settings.rate, self.settings.mean_span
        return SpanCorruption(source, rows, self.seed, rate, mean_span, self.sentinels, self.start)
