"""What a head for whole texts learns: one label of several, some of several, or values."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.config import Problem
from llm.training.batch import Tensors

INPUTS = ("tokens", "segments", "types", "sources", "source_segments")
"""The tensors of a batch that models read."""


class TextLoss:
    """The weighted loss of each text: nats of its label, nats a label, or the mean square of the error.

    smoothing: the share of a label's odds that is spread over all (Szegedy et al., arXiv 1512.00567).
    """

    def __init__(self, problem: Problem, smoothing: float = 0.0) -> None:
        self.problem, self.smoothing = problem, smoothing

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """Summed over the texts by their weights."""
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        said: Tensor = model.outputs(**inputs)  # type: ignore[operator]
        there = batch["weights"] >= 0
        targets, weights = batch["targets"][there], batch["weights"][there]
        return (self._each(said, targets) * weights).sum()

    def _each(self, said: Tensor, targets: Tensor) -> Tensor:
        if self.problem == "single_label_classification":
            known = targets.clamp(min=0)  # what is no class has no weight
            return F.cross_entropy(said, known, reduction="none", label_smoothing=self.smoothing)
        targets = targets.to(torch.float32)
        if self.problem == "regression":
            return (said - targets).square().mean(-1)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        found = F.binary_cross_entropy_with_logits(said, targets, reduction="none")
        return found.mean(-1)
