"""Which keys each query may see: one mask for decoders, encoders and what lies between them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from llm.models.kernels import availability
from llm.models.spans import Spans


@dataclass(frozen=True)
class Mask:
    """What attention is told about who sees whom.

    causal: each query sees the keys up to its own place; only where `allowed` is None.
    allowed (B or 1, 1, T, S), bool: all that a query sees; None: everything that `causal` lets it.
    sees_any (B, 1, T, 1), bool: False for queries that see nothing, whose answer is zeros; None: all
    see something. `allowed` is True for those throughout: softmax over nothing is not a number.
    spans: the same as `allowed` for what is no padding; None where that is not known.
    """

    causal: bool
    allowed: Tensor | None = None
    sees_any: Tensor | None = None
    spans: Spans | None = None


def self_mask(
    length: int,
    seen: int,
    causal: bool,
    window: int | None,
    segments: Tensor | None,
    device: torch.device,
) -> Mask:
    """The mask of `length` queries that are the last of `seen` keys.

    window: how many keys a query sees, up to itself, itself included, and without `causal` as many on
    the other side. segments (B, S): tokens see only tokens of their own segment.
    Example, causal, window 2, segments 1 1 1 2 2, T = S = 5 (rows see columns):
    10000, 11000, 01100, 00010, 00011.
    """
    if window is not None and window >= seen:
        window = None
    if segments is None and window is None and (not causal or length in (1, seen)):
        return Mask(causal=causal and length > 1)  # the last query of all sees everything
    allowed = torch.ones(length, seen, dtype=torch.bool, device=device)
    if causal:
        allowed = allowed.tril(seen - length)
    if window is not None:
        allowed = allowed.triu(seen - length - window + 1)
        if not causal:
            allowed = allowed.tril(seen - length + window - 1)
    allowed = allowed[None, None]  # (1, 1, T, S)
    spans = None
    if segments is not None:
        same = segments[:, -length:, None] == segments[:, None, :]  # (B, T, S)
        allowed = allowed & same[:, None]
        if window is None and length == seen and availability.usable(allowed, kinds=(torch.bool,)):
            spans = Spans.of_segments(segments, causal)
    return Mask(causal=False, allowed=allowed, spans=spans)


def cross_mask(segments: Tensor | None, source_segments: Tensor | None) -> Mask:
    """The mask of targets over sources: a target sees the sources of its own segment.

    segments (B, T) or None: all of segment 1; source_segments (B, S) the same.
    """
    if segments is None and source_segments is None:
        return Mask(causal=False)
    if source_segments is None:
        assert segments is not None
        allowed = (segments == 1)[:, None, :, None]  # (B, 1, T, 1)
    elif segments is None:
        allowed = (source_segments == 1)[:, None, None, :]  # (B, 1, 1, S)
    else:
        allowed = (segments[:, :, None] == source_segments[:, None, :])[:, None]  # (B, 1, T, S)
    sees_any = allowed.any(-1, keepdim=True)
    return Mask(causal=False, allowed=allowed | ~sees_any, sees_any=sees_any)


def places(segments: Tensor) -> Tensor:
    """The place of each token within its segment, from 0: segments (B, T) → (B, T) int64.

    Example: 1 1 1 2 2 0 0 gives 0 1 2 0 1 0 1.
    """
    order = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return order - order.where(starts, 0).cummax(dim=1).values
