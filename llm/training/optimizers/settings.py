"""What a recipe says of the optimizer (adamw.py and muon.py have the optimizers, and import torch)."""

from typing import Literal, Protocol

from llm.settings import section, setting


@section
class OptimizerSettings:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), or Muon for the hidden matrices."""

    type: Literal["adamw", "muon"] = setting(
        default="adamw",
        description="adamw; or muon for the matrices inside blocks, with adamw for the rest. Muon's updates are "
        "scaled to the size of AdamW's, so learning rates mean the same; it pays from some 4,000 tokens a step on.",
    )
    betas: tuple[float, float] = setting(
        default=(0.9, 0.95),
        description="Decay of the first and the second moment per step (fractions).",
    )
    epsilon: float = setting(
        default=1e-8, description="Added to the root of the second moment (no unit).", gt=0
    )
    weight_decay: float = setting(
        default=0.1,
        description="Decoupled decay of matrices per step, times the learning rate (no unit).",
        ge=0,
    )

    momentum: float = setting(
        default=0.95, description="Muon's decay of past gradients per step (fraction).", ge=0, lt=1
    )

    def __post_init__(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"optimizer: betas {list(self.betas)} must be two numbers from 0 up to below 1, "
                "such as [0.9, 0.95]"
            )


class Optimizer(Protocol):
    """Steps parameters from the finished gradient of a run's state.

    crosses_shares: whether a step reads what lies in another rank's share.
    """

    crosses_shares: bool

    def step(self, learning_rate: float) -> None:
        """Update the parameters."""
