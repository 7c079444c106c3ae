"""Who sees whom, as spans of rows: a text sees itself alone, and no product is made for anything else."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from llm.models.block_attention import LONGEST

# Spans are filled up to one of these lengths, so that those of one go through attention together.
SIZES = np.array([8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512])

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Spans(NamedTuple):
    """Rows of B * T positions cut into spans, grouped by length.

    rows: B * T. causal: within a span, each position sees those up to its own; else all. whole: every row stands in
    a span. groups: of each the length L; places (n, L) int64, the rows of its spans' positions, -1 for
    none, or None for all rows in their order; and lengths (n,) int64, None where a position sees none
    that is empty.
    """

    rows: int
    causal: bool
    whole: bool
    groups: tuple[tuple[int, Tensor | None, Tensor | None], ...]

    @classmethod
    def of_rows(cls, count: int, length: int, causal: bool) -> "Spans | None":
        """Each of `count` rows of `length` positions one span; None where that is too long."""
        whole = ((length, None, None),)
        return cls(count * length, causal, True, whole) if length <= LONGEST else None

    @classmethod
    def of_segments(cls, segments: Tensor, causal: bool) -> "Spans | None":
        """Each segment of rows (B, T) one span, padding (0) none.

        None where one is too long, or a segment's positions do not lie side by side.
        """
        numbers = segments.numpy()
        flat, length = numbers.reshape(-1), numbers.shape[1]
        begins = np.ones(numbers.shape, bool)
        begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
        starts = np.flatnonzero(begins)
        sizes = np.diff(starts, append=flat.size)
        there = flat[starts] != 0
        starts, sizes = starts[there], sizes[there]
        named = np.stack((starts // length, flat[starts]))
        if len(np.unique(named, axis=1).T) < len(starts) or sizes.max(initial=0) > LONGEST:
            return None
        groups = tuple(_groups(starts, sizes, causal))
        return cls(flat.size, causal, bool(there.all()), groups)


def _groups(starts: Integers, sizes: Integers, causal: bool) -> Any:
    """Of spans that begin at `starts` and have `sizes` positions, those of about the same length."""
    filled = SIZES[np.searchsorted(SIZES, sizes)]
    for length in np.unique(filled):
        chosen = filled == length
        first, size = starts[chosen], sizes[chosen]
        inside = np.arange(size.max())
        places = np.where(inside < size[:, None], first[:, None] + inside, -1)
        # Empty positions come last: where attention is causal, none sees them.
        lengths = None if causal else torch.from_numpy(size)
        yield len(inside), torch.from_numpy(places), lengths
