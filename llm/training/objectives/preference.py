"""Direct preference optimisation: the chosen answer more likely than the rejected, by a reference's measure.

Rafailov et al., arXiv 2305.18290, equation 7. With label smoothing it is the conservative loss of Mitchell's
note (https://ericmitchell.ai/cdpo.pdf), equation 3: some of the preferences are taken to be wrong.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.target_losses import target_losses
from llm.tokens.rows import IGNORE
from llm.training.batch import REJECTED, Tensors

SIDES = ("", REJECTED)
"""How the names of a side's tensors begin: the chosen one's are those of any batch."""


class Preference:
    """The loss of each pair, -ln sigmoid(beta * margin); the margin is of ln p over the reference's."""

    def __init__(self, beta: float, smoothing: float = 0.0) -> None:
        self.beta, self.smoothing = beta, smoothing

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """Summed over the pairs, in nats of the preference."""
        margins = self.beta * margins_of(answer_nats(model, batch), batch["reference"])
        there = ~batch["reference"][..., 0].isnan()
        right, wrong = (-F.logsigmoid(sign * margins[there]) for sign in (1, -1))
        return ((1 - self.smoothing) * right + self.smoothing * wrong).sum()


def margins_of(nats: Tensor, reference: Tensor) -> Tensor:
    """By how much more the model prefers the chosen answer than the reference does, (B, P) nats.

    nats, reference (B, P, 2): -ln p of the chosen and the rejected answer of each pair of a row.
    """
    gained = reference - nats
    return gained[..., 0] - gained[..., 1]


def answer_nats(model: nn.Module, batch: Tensors) -> Tensor:
    """-ln p of the answers of each pair of each row, (B, P, 2) float32: chosen, rejected.

    Of pairs that are not there, zeros. One pass reads both sides.
    """
    filling = {"tokens": 0, "targets": IGNORE, "segments": 0}
    tokens, targets, segments = (
        _below_each_other([batch[f"{side}{name}"] for side in SIDES], fill)
        for name, fill in filling.items()
    )
    losses = target_losses(model, model.hidden_states(tokens, segments), targets)  # type: ignore[operator]
    pairs = batch["reference"].shape[1]
    owners = (segments - 1).clamp(min=0) + torch.arange(len(tokens), device=tokens.device)[
        :, None
    ] * pairs
    found = losses.new_zeros(len(tokens) * pairs)
    counted = targets != IGNORE
    found = found.index_add(0, owners[counted], losses[counted])
    return found.view(2, -1, pairs).permute(1, 2, 0)


def _below_each_other(sides: list[Tensor], filling: int) -> Tensor:
    """The rows of both sides, (B, T) each, as those of one batch; a shorter side is filled up."""
    length = max(one.shape[1] for one in sides)
    return torch.cat([F.pad(one, (0, length - one.shape[1]), value=filling) for one in sides])
