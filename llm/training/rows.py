"""What one part of a training step reads, and where it comes from."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Rows(NamedTuple):
    """Rows of a part: int64, (B, T) but where said otherwise.

    targets: IGNORE where nothing is learned. segments: positions see only their own segment; None:
    everything that the model lets them see. types: BERT's token types. pairs (B,): 1 where the
    second half follows the first, else 0; each weighs as much as `pair_weight` targets.
    sources, source_segments (B, S): what an encoder reads when `tokens` are a decoder's.
    """

    tokens: Integers
    targets: Integers
    segments: Integers | None = None
    types: Integers | None = None
    pairs: Integers | None = None
    sources: Integers | None = None
    source_segments: Integers | None = None
    pair_weight: float = 0.0

    def extras(self, span: slice) -> dict[str, Integers]:
        """The optional arrays that are there, rows `span` of each, by name."""
        found = self._asdict()
        for name in ("tokens", "targets", "pair_weight"):
            del found[name]
        return {name: values[span] for name, values in found.items() if values is not None}


def arguments(rows: Rows, span: slice, device: torch.device) -> dict[str, Any]:
    """What a model's `loss` takes of rows `span`, by name: tensors on the device, and the weight."""
    arrays = {
        "tokens": rows.tokens[span],
        "targets": rows.targets[span],
        **rows.extras(span),
    }
    found: dict[str, Any] = {
        name: torch.from_numpy(values).to(device) for name, values in arrays.items()
    }
    return found if rows.pairs is None else {**found, "pair_weight": rows.pair_weight}


class BatchSource(Protocol):
    """Where rows come from: a pure function of (step, part)."""

    def part(self, step: int, part: int, parts: int) -> Rows:
        """The rows of one of `parts` shares of a step; together they are the step's batch."""

    def seen(self, step: int) -> Any:
        """What the step reads, for seen.jsonl (JSON): such as the numbers of its windows."""
