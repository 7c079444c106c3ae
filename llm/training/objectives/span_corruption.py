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
from typing import Any

import numpy as np

from llm.training.objectives.chance import chance, rows_of_part
from llm.training.rows import BatchSource, Integers, Rows


def sizes(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    """How many of `length` tokens are hidden, and in how many spans; at least one, never all."""
    hidden = min(max(round(length * rate), 1), length - 1)
    spans = min(max(round(hidden / mean_span), 1), length - hidden)
    return hidden, spans


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

    def part(self, step: int, part: int, parts: int) -> Rows:
        """The part's rows. Raises ValueError when windows are packed or need more sentinels."""
        windows = self.source.part(step, part, parts)
        if windows.segments is not None:
            raise ValueError(
                "objective span_corruption reads whole windows, and these hold documents apart: "
                "choose concat packing without a document mask"
            )
        made = [
            self.corrupt(windows.tokens[place], chance(self.seed, step, row))
            for place, row in enumerate(rows_of_part(self.rows, part, parts, len(windows.tokens)))
        ]
        sources, targets = (np.stack(values) for values in zip(*made, strict=True))
        tokens = np.empty_like(targets)
        tokens[:, 0], tokens[:, 1:] = self.start, targets[:, :-1]
        return Rows(tokens, targets, sources=sources)

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
