"""Packed rows taken apart, for models that cannot be told what to look past, and put together again.

    tokens    a b c d e f        a b c
    segments  0 0 0 1 1 1   →    d e f

Each run of equal segments becomes a row of its own, padded at its end, where a causal model does
not look.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Apart(NamedTuple):
    """rows (R, L): a row a run; place (B, T): where each token lies among `rows`, flattened."""

    rows: Tensor
    place: Tensor

    def together(self, x: Tensor) -> Tensor:
        """What was made of the rows, (R, L, d), in the tokens' order: (B, T, d)."""
        return x.flatten(0, 1)[self.place]


def apart(tokens: Tensor, segments: Tensor) -> Apart:
    """Take rows (B, T) apart where their `segments` (B, T) change."""
    batch, length = tokens.shape
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    run = begins.flatten().cumsum(0) - 1  # (B * T,)
    begin = torch.nonzero(begins.flatten())[:, 0]  # (R,)
    inside = torch.arange(batch * length, device=tokens.device) - begin[run]
    longest = int(inside.max()) + 1
    place = run * longest + inside
    rows = tokens.new_zeros(len(begin) * longest)
    rows[place] = tokens.flatten()
    return Apart(rows.view(-1, longest), place.view(batch, length))
