"""The temperature by which outputs are divided, so that confidence is what accuracy is.

Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), section 4.2.
"""

from typing import Any

import numpy as np

from llm.training.finetune.figures import of_classes, of_labels

LIBRARIES = ("numpy",)

LOWEST, HIGHEST = 0.05, 20.0
ROUNDS = 60  # of the golden section, which narrows the logarithm to 1e-12 of what it was
_GOLDEN = (5**0.5 - 1) / 2


def temperature(
    outputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], several: bool
) -> float:
    """The temperature of least loss for outputs (N, labels); 1 where no target is known.

    The loss has one minimum (it is convex in 1 / temperature), which a golden section finds.
    """
    figures = of_labels if several else of_classes

    def loss(logarithm: float) -> float:
        found = figures(outputs / np.exp(logarithm), targets)["loss"]
        return 0.0 if found is None else found

    low, high = np.log(LOWEST), np.log(HIGHEST)
    if loss(low) == loss(high) == 0.0:
        return 1.0
    for _ in range(ROUNDS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
