"""What a head for whole texts learns: one label of several, some of several, or values."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.config import Problem
from llm.training.batch import Tensors

INPUTS = ("tokens", "segments", "types", "sources", "source_segments")
"""The tensors of a batch that models read."""


@dataclass(frozen=True)
class HiddenTokens:
    """How tokens are hidden from a model in training, so that no answer rests on a single word.

    share: of the tokens, drawn again each step. token: what stands in their places, as in masked
    pretraining. kept: tokens that are never hidden, such as the marks round a text.
    """

    share: float
    token: int
    kept: tuple[int, ...]

    def of(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) of which some are hidden."""
        chosen = torch.rand(tokens.shape, device=tokens.device) < self.share
        chosen &= ~torch.isin(tokens, torch.tensor(self.kept, device=tokens.device))
        return tokens.masked_fill(chosen, self.token)


class TextLoss:
    """The weighted loss of each text: nats of its label, nats a label, or the mean square of the error.

    smoothing: the share of a label's odds that is spread over all (Szegedy et al., arXiv 1512.00567).
    hiding: of tokens, in training alone.
    """

    def __init__(
        self, problem: Problem, smoothing: float = 0.0, hiding: HiddenTokens | None = None
    ) -> None:
        self.problem, self.smoothing, self.hiding = problem, smoothing, hiding

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """Summed over the texts by their weights."""
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        if self.hiding is not None and model.training and torch.is_grad_enabled():
            name = "sources" if "sources" in inputs else "tokens"
            inputs[name] = self.hiding.of(inputs[name])
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
