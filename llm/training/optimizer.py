"""AdamW over a rank's share of the flat buffers.

PyTorch's own fused kernel does the arithmetic: one pass over memory, the same numbers for an element
wherever it lies in a chunk. Its state is laid into the shared buffers, so that each process keeps
and steps a share of it and a checkpoint is a copy of three buffers.
"""

import torch

from llm.settings import section, setting
from llm.training.reduce import Flat


@section
class OptimizerSettings:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    betas: tuple[float, float] = setting(
        (0.9, 0.95), "Decay of the first and the second moment per step (fractions)."
    )
    epsilon: float = setting(1e-8, "Added to the root of the second moment (no unit).", gt=0)
    weight_decay: float = setting(
        0.1, "Decoupled decay of matrices per step, times the learning rate (no unit).", ge=0
    )

    def __post_init__(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"optimizer: betas {list(self.betas)} must be two numbers from 0 up to below 1, "
                "such as [0.9, 0.95]"
            )


class FlatAdamW:
    """AdamW on this rank's chunks; `done` is how many steps the state has behind it."""

    def __init__(self, settings: OptimizerSettings, flat: Flat, done: int) -> None:
        layout = flat.layout
        groups, self._gradients = [], []
        states: list[tuple[torch.Tensor, slice]] = []
        for start, stop, decay in (
            (0, layout.decayed, settings.weight_decay),
            (layout.decayed, layout.size, 0.0),
        ):
            span = flat.my_slice(start, stop)
            if span.start == span.stop:
                continue
            values = flat.parameters[span]
            values.grad = flat.gradients[0][span]
            groups.append({"params": [values], "weight_decay": decay})
            states.append((values, span))
        self._optimizer = None
        if groups:  # more ranks than chunks leave some without any
            self._optimizer = torch.optim.AdamW(
                groups, lr=0.0, betas=settings.betas, eps=settings.epsilon, fused=True
            )
            for values, span in states:
                self._optimizer.state[values] = {
                    "step": torch.tensor(float(done), device=values.device),
                    "exp_avg": flat.first_moment[span],
                    "exp_avg_sq": flat.second_moment[span],
                }

    def step(self, learning_rate: float) -> None:
        """Update this rank's share of the parameters from the reduced gradient."""
        if self._optimizer is None:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
