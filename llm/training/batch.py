"""What one part of a training step reads, where it comes from, and what is asked of a model on it.

Pretraining, fine-tuning, baselines and validation make the same call: `objective.loss(model, tensors)`,
a sum, whose mean is over all that is learned in a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from llm.tokens.rows import IGNORE

Integers = np.ndarray[Any, np.dtype[np.int64]]
Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Tensor]

REJECTED = "rejected_"
"""How the names of arrays begin that hold the other answers, in batches of preferences."""


@dataclass(frozen=True)
class Batch:
    """Rows: arrays by name, of as many rows (B, ...), and how much of each row is learned, (B,).

    learned: what the summed loss is divided by, such as the number of a row's targets or the weight
    of its label. Of a row with none, no pass is made. Usual names, int64: tokens (B, T); targets
    (B, T), IGNORE where nothing is learned; segments (B, T), positions see only their own; types
    (B, T), BERT's token types; sources, source_segments (B, S), what an encoder reads when `tokens`
    are a decoder's.
    """

    arrays: Mapping[str, Array]
    learned: Array

    @classmethod
    def of(cls, *, targets: Integers, **arrays: Array | None) -> "Batch":
        """Rows of which each target that is not IGNORE counts one; arrays that are None are left out."""
        there = {name: array for name, array in arrays.items() if array is not None}
        learned = (targets != IGNORE).sum(axis=tuple(range(1, targets.ndim)))
        return cls({**there, "targets": targets}, learned)

    def __len__(self) -> int:
        return len(self.learned)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def tensors(self, span: slice, device: torch.device) -> dict[str, Tensor]:
        """Rows `span` of each array, on a device."""
        return {
            name: torch.from_numpy(array[span]).to(device) for name, array in self.arrays.items()
        }


class BatchSource(Protocol):
    """Where batches come from: a pure function of (step, part)."""

    def part(self, step: int, part: int, parts: int) -> Batch:
        """One of `parts` shares of a step; together they are the step's batch."""

    def seen(self, step: int) -> Any:
        """What the step reads, for seen.jsonl (JSON): such as the numbers of its windows."""


class Objective(Protocol):
    """What is asked of a model."""

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """The loss summed over all that is learned in some rows of a batch: a float32 scalar.

        In nats where it is a likelihood. Called with gradients by training, without by validation.
        """
