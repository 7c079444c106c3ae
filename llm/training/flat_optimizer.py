"""What steps the parameters of flat buffers, by the recipe's name for it."""

import torch

from llm.training.adamw import FlatAdamW
from llm.training.muon import FlatMuon
from llm.training.optimizer import OptimizerSettings
from llm.training.reduce import Flat


def flat_optimizer(
    settings: OptimizerSettings, flat: Flat, done: int, kind: torch.dtype
) -> FlatAdamW | FlatMuon:
    """The optimizer, with `done` steps behind it. kind: the type of Muon's matrix products."""
    if settings.type == "muon":
        return FlatMuon(settings, flat, done, kind)
    return FlatAdamW(settings, flat, done)
